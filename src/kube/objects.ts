/**
 * The parts of Kubernetes objects that decide what kube-proxy writes, spelled as the API spells them. Objects keep the
 * form of their YAML or JSON; what is absent here is carried along untouched.
 */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
  readonly resourceVersion?: string;
}

export interface ServicePortSpec {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly nodePort?: number;
}

export interface Service {
  readonly apiVersion?: string;
  readonly kind: 'Service';
  readonly metadata: ObjectMeta;
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly ipFamilies?: readonly string[];
    readonly ports?: readonly ServicePortSpec[];
    readonly selector?: Readonly<Record<string, string>>;
    readonly sessionAffinity?: string;
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
    readonly externalIPs?: readonly string[];
    readonly loadBalancerSourceRanges?: readonly string[];
    readonly externalTrafficPolicy?: string;
    readonly internalTrafficPolicy?: string;
    readonly trafficDistribution?: string;
    readonly healthCheckNodePort?: number;
    readonly publishNotReadyAddresses?: boolean;
    readonly externalName?: string;
  };
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly { readonly ip?: string; readonly ipMode?: string; readonly hostname?: string }[];
    };
  };
}

export interface SlicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port?: number;
}

export interface SliceEndpoint {
  readonly addresses?: readonly string[];
  readonly conditions?: {
    readonly ready?: boolean | null;
    readonly serving?: boolean | null;
    readonly terminating?: boolean | null;
  };
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[];
    readonly forNodes?: readonly { readonly name: string }[];
  };
  readonly targetRef?: { readonly kind?: string; readonly name?: string; readonly namespace?: string };
}

export interface EndpointSlice {
  readonly apiVersion?: string;
  readonly kind: 'EndpointSlice';
  readonly metadata: ObjectMeta;
  readonly addressType?: string;
  readonly ports?: readonly SlicePort[];
  readonly endpoints?: readonly SliceEndpoint[];
}

export interface KubeNode {
  readonly apiVersion?: string;
  readonly kind: 'Node';
  readonly metadata: ObjectMeta;
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: { readonly addresses?: readonly { readonly type?: string; readonly address: string }[] };
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: string;
}

export interface Container {
  readonly name?: string;
  readonly ports?: readonly ContainerPort[];
  readonly restartPolicy?: string;
}

export interface Pod {
  readonly apiVersion?: string;
  readonly kind: 'Pod';
  readonly metadata: ObjectMeta;
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly hostname?: string;
    readonly subdomain?: string;
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface KubeProxyConfigurationObject {
  readonly apiVersion?: string;
  readonly kind: 'KubeProxyConfiguration';
  readonly mode?: string | null;
  readonly clusterCIDR?: string | null;
  readonly detectLocalMode?: string | null;
  readonly detectLocal?: {
    readonly bridgeInterface?: string | null;
    readonly interfaceNamePrefix?: string | null;
  } | null;
  readonly iptables?: {
    readonly masqueradeAll?: boolean | null;
    readonly masqueradeBit?: number | null;
    readonly localhostNodePorts?: boolean | null;
    readonly syncPeriod?: string | null;
    readonly minSyncPeriod?: string | null;
  } | null;
  readonly nodePortAddresses?: readonly string[] | null;
  readonly conntrack?: { readonly tcpBeLiberal?: boolean | null } | null;
  readonly hostnameOverride?: string | null;
  readonly bindAddress?: string | null;
  readonly featureGates?: Readonly<Record<string, boolean>> | null;
}

export type KubeObject = Service | EndpointSlice | KubeNode | Pod | KubeProxyConfigurationObject;

export const LABEL_SERVICE_NAME = 'kubernetes.io/service-name';
export const LABEL_PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
export const LABEL_HEADLESS = 'service.kubernetes.io/headless';
export const LABEL_ZONE = 'topology.kubernetes.io/zone';

/** `namespace/name`, the key of a Service; an absent namespace is `default`, as kubectl would have it. */
export function objectKey(object: { readonly metadata: ObjectMeta }): string {
  return `${object.metadata.namespace ?? 'default'}/${object.metadata.name}`;
}
