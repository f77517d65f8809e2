/** The jumps from built-in chains, which a full sync ensures one command at a time. kube-proxy: iptablesJumpChains. */
const NEW = '-m conntrack --ctstate NEW';
const comment = (text: string): string => `-m comment --comment "${text}"`;
const EXTERNAL = comment('kubernetes externally-visible service portals');
const PORTALS = comment('kubernetes service portals');
const FIREWALL = comment('kubernetes load balancer firewall');

export interface Jump {
  readonly table: 'filter' | 'nat';
  readonly from: string;
  readonly to: string;
  /** The matches, before `-j`; empty if there is none. */
  readonly match: string;
}

/** In the order in which they are ensured; each is inserted at the head of its chain. */
export const JUMPS: readonly Jump[] = [
  { table: 'filter', from: 'INPUT', to: 'KUBE-EXTERNAL-SERVICES', match: `${NEW} ${EXTERNAL}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-EXTERNAL-SERVICES', match: `${NEW} ${EXTERNAL}` },
  { table: 'filter', from: 'INPUT', to: 'KUBE-NODEPORTS', match: comment('kubernetes health check service ports') },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-SERVICES', match: `${NEW} ${PORTALS}` },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-SERVICES', match: `${NEW} ${PORTALS}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-FORWARD', match: comment('kubernetes forwarding rules') },
  { table: 'filter', from: 'INPUT', to: 'KUBE-PROXY-FIREWALL', match: `${NEW} ${FIREWALL}` },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-PROXY-FIREWALL', match: `${NEW} ${FIREWALL}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-PROXY-FIREWALL', match: `${NEW} ${FIREWALL}` },
  { table: 'nat', from: 'OUTPUT', to: 'KUBE-SERVICES', match: PORTALS },
  { table: 'nat', from: 'PREROUTING', to: 'KUBE-SERVICES', match: PORTALS },
  { table: 'nat', from: 'POSTROUTING', to: 'KUBE-POSTROUTING', match: comment('kubernetes postrouting rules') },
  { table: 'filter', from: 'INPUT', to: 'KUBE-FIREWALL', match: '' },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-FIREWALL', match: '' },
];

/** `FROM [matches] -j TO`, as it follows `-A` or `-I`. */
export function jumpSpec(jump: Jump): string {
  return jump.match === '' ? `${jump.from} -j ${jump.to}` : `${jump.from} ${jump.match} -j ${jump.to}`;
}

/** What kube-proxy can see of the kernel's tables in one family, as far as it acts on it. */
export class KernelTables {
  readonly chains: Readonly<Record<'filter' | 'nat', Set<string>>>;
  /** Jumps that exist, by `table jumpSpec`. */
  readonly jumps = new Set<string>();

  constructor(natChains: Iterable<string> = []) {
    this.chains = { filter: new Set(), nat: new Set(natChains) };
  }

  /** Somebody flushed all tables and deleted their chains. */
  flush(): void {
    this.chains.filter.clear();
    this.chains.nat.clear();
    this.jumps.clear();
  }
}

export interface Ensured {
  /** Commands that changed something, in order. */
  readonly commands: readonly string[];
  readonly failed: boolean;
}

/**
 * Creates what is missing. `failAt` is the number, from 0, of the command that fails; a chain and a rule are a command
 * each, whether or not they exist.
 */
export function ensureJumps(tables: KernelTables, failAt: number | undefined): Ensured {
  const commands: string[] = [];
  let number = 0;
  for (const jump of JUMPS) {
    if (number++ === failAt) return { commands, failed: true };
    const chains = tables.chains[jump.table];
    if (!chains.has(jump.to)) {
      chains.add(jump.to);
      commands.push(`-t ${jump.table} -N ${jump.to}`);
    }
    if (number++ === failAt) return { commands, failed: true };
    const key = `${jump.table} ${jumpSpec(jump)}`;
    if (!tables.jumps.has(key)) {
      tables.jumps.add(key);
      commands.push(`-t ${jump.table} -I ${jumpSpec(jump)}`);
    }
  }
  return { commands, failed: false };
}
