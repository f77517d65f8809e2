/**
 * Texts → Kubernetes objects: YAML or JSON, one object, a List, or many documents. What `kubectl get … -o yaml` prints
 * is input as it stands. Faults become Diagnostics with document, field path and place; the object is then left out.
 */
import { type Document, isNode, parseAllDocuments } from 'yaml';
import type { Diagnostic } from '../base/diagnostic.js';
import type { Source } from '../base/source.js';
import { readBlockYaml } from './block-yaml.js';
import { readConfig } from './config.js';
import { type FieldError, type FieldPath, printPath, quoteValue } from './field.js';
import {
  type EndpointSlice,
  type KubeNode,
  type KubeObject,
  type KubeProxyConfigurationObject,
  objectKey,
  type Pod,
  type Service,
} from './objects.js';
import { checkNode, checkPod, checkService, checkSlice } from './validate.js';

export interface LoadedObjects {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodes: readonly KubeNode[];
  readonly pods: readonly Pod[];
  readonly configs: readonly KubeProxyConfigurationObject[];
  /** How many objects of kinds that decide nothing here were passed over, by kind. */
  readonly passedOver: ReadonlyMap<string, number>;
  readonly diagnostics: readonly Diagnostic[];
}

type Check = (object: Readonly<Record<string, unknown>>) => readonly FieldError[];

interface Kind {
  readonly apiVersion: string;
  readonly check: Check;
}

const KINDS: Readonly<Record<string, Kind>> = {
  Service: { apiVersion: 'v1', check: checkService },
  EndpointSlice: { apiVersion: 'discovery.k8s.io/v1', check: checkSlice },
  Node: { apiVersion: 'v1', check: checkNode },
  Pod: { apiVersion: 'v1', check: checkPod },
  KubeProxyConfiguration: {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    check: (object) => readConfig(object as unknown as KubeProxyConfigurationObject).errors, // its reader checks types
  },
};

/** A document of a source: its value, and its tree where there is one. */
interface Parsed {
  readonly value: unknown;
  readonly tree: (() => Document | undefined) | undefined;
}

/** Trees of texts that were read without one are made only to place faults, and not for huge ones: 1 s for 1 MB. */
const MAX_PLACED_SIZE = 4 * 1024 * 1024;
const YAML_OPTIONS = { merge: true, prettyErrors: false, logLevel: 'silent' } as const;

/** Trees of a text's documents, made when somebody asks; undefined for a huge text. */
function treesOf(text: string): (() => readonly (Document | undefined)[]) | undefined {
  if (text.length > MAX_PLACED_SIZE) return undefined;
  let trees: readonly Document[] | undefined;
  return () => {
    trees ??= parseAllDocuments(text, YAML_OPTIONS) as Document[];
    return trees;
  };
}

class Loader {
  readonly #objects = new Map<string, KubeObject>();
  readonly #passedOver = new Map<string, number>();
  readonly #diagnostics: Diagnostic[] = [];

  load(source: Source): void {
    const documents = this.#parse(source);
    documents.forEach((parsed, i) => {
      if (parsed.value === null || parsed.value === undefined) return;
      this.#take(source, parsed, parsed.value, documents.length > 1 ? `document ${i + 1}` : '', [], undefined);
    });
  }

  #parse(source: Source): Parsed[] {
    const { text } = source;
    if (/^\s*[[{]/.test(text)) {
      try {
        const value: unknown = JSON.parse(text);
        const tree = treesOf(text);
        return [{ value, tree: tree && (() => tree()[0]) }];
      } catch {
        // Flow-style YAML may begin like JSON; if it is neither, the YAML parser says where.
      }
    }
    const values = readBlockYaml(text);
    if (values !== undefined) {
      const tree = treesOf(text);
      return values.map((value, i): Parsed => ({ value, tree: tree && (() => tree()[i]) }));
    }
    const documents = parseAllDocuments(text, YAML_OPTIONS);
    if (!Array.isArray(documents)) return []; // an empty stream
    return documents.flatMap((document, i): Parsed[] => {
      for (const error of document.errors) {
        const [start, end] = error.pos;
        const message = `document ${i + 1}: ${lowerFirst(error.message)}`;
        this.#diagnostics.push({ severity: 'error', code: 'bad-yaml', message, span: { source, start, end } });
      }
      if (document.errors.length > 0) return [];
      try {
        return [{ value: document.toJS(), tree: () => document as Document }];
      } catch (error) {
        // Aliases that multiply beyond all bounds.
        const message = `document ${i + 1}: ${error instanceof Error ? lowerFirst(error.message) : String(error)}`;
        const start = document.range[0];
        this.#diagnostics.push({ severity: 'error', code: 'bad-yaml', message, span: { source, start, end: start } });
        return [];
      }
    });
  }

  /** Takes a value that should be an object or a list of objects. `listKind` is the kind that a typed list implies. */
  #take(
    source: Source,
    parsed: Parsed,
    value: unknown,
    where: string,
    path: FieldPath,
    listKind: { readonly apiVersion: unknown; readonly kind: string } | undefined,
  ): void {
    const fault = (at: FieldPath, code: string, message: string, hint?: string): void =>
      this.#report(source, parsed, where, path, {
        severity: 'error',
        code,
        path: at,
        message,
        ...(hint ? { hint } : {}),
      });
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      if (Array.isArray(value) && path.length === 0) {
        value.forEach((item, i) => {
          this.#take(source, parsed, item, where, [i], undefined);
        });
      } else fault([], 'bad-type', `must be a Kubernetes object, not ${quoteValue(value)}`);
      return;
    }
    const fields = { ...listKind, ...value } as Record<string, unknown>; // JSON objects have text keys
    const { kind } = fields;
    if (typeof kind !== 'string' || kind === '') {
      fault([], 'missing-field', 'has no kind', 'every Kubernetes object says its kind');
      return;
    }
    if (kind.endsWith('List') && fields.items !== undefined && path.length === 0) {
      const { items } = fields;
      if (items === null) return;
      if (!Array.isArray(items)) {
        fault(['items'], 'bad-type', `must be a list, not ${quoteValue(items)}`);
        return;
      }
      const itemKind =
        kind === 'List' ? undefined : { apiVersion: fields.apiVersion, kind: kind.slice(0, -'List'.length) };
      items.forEach((item, i) => {
        this.#take(source, parsed, item, where, ['items', i], itemKind);
      });
      return;
    }
    const known = Object.hasOwn(KINDS, kind) ? KINDS[kind]! : undefined;
    if (known === undefined || (kind === 'Service' && fields.apiVersion === 'serving.knative.dev/v1')) {
      this.#passedOver.set(kind, (this.#passedOver.get(kind) ?? 0) + 1);
      return;
    }
    const name = printName(fields);
    if (fields.apiVersion !== undefined && fields.apiVersion !== known.apiVersion) {
      fault(
        ['apiVersion'],
        'unknown-version',
        `${kind}${name} must be of ${known.apiVersion}, not ${quoteValue(fields.apiVersion)}`,
      );
      return;
    }
    const errors = known.check(fields);
    const called = [where, path.length > 0 ? printPath(path) : '', `${kind}${name}`].filter((s) => s !== '').join(', ');
    for (const error of errors) this.#report(source, parsed, called, path, error);
    if (errors.some((error) => error.severity === 'error')) return;
    const object = fields as unknown as KubeObject; // the check has gone over every field that is used
    const key = kind === 'KubeProxyConfiguration' ? kind : `${kind} ${objectKey(object as Service)}`;
    if (this.#objects.has(key)) {
      const message = `stands a second time; this one counts`;
      this.#report(source, parsed, called, path, { severity: 'warning', code: 'duplicate', path: [], message });
    }
    this.#objects.set(key, object);
  }

  #report(source: Source, parsed: Parsed, where: string, base: FieldPath, error: FieldError): void {
    const { start, end } = place(parsed.tree?.(), [...base, ...error.path]);
    const field = error.path.length > 0 ? printPath(error.path) : '';
    const message = [where, field, error.message].filter((part) => part !== '').join(': ');
    const { severity, code, hint } = error;
    this.#diagnostics.push({ severity, code, message, span: { source, start, end }, ...(hint ? { hint } : {}) });
  }

  finish(): LoadedObjects {
    const all = [...this.#objects.values()];
    const of = <K extends KubeObject['kind']>(kind: K) =>
      all.filter((object): object is Extract<KubeObject, { kind: K }> => object.kind === kind);
    return {
      services: of('Service'),
      slices: of('EndpointSlice'),
      nodes: of('Node'),
      pods: of('Pod'),
      configs: of('KubeProxyConfiguration'),
      passedOver: this.#passedOver,
      diagnostics: this.#diagnostics,
    };
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function printName(fields: Readonly<Record<string, unknown>>): string {
  const meta = fields.metadata as { readonly name?: unknown; readonly namespace?: unknown } | null | undefined; // only looked at
  if (typeof meta?.name !== 'string') return '';
  return typeof meta.namespace === 'string' ? ` ${meta.namespace}/${meta.name}` : ` ${meta.name}`;
}

/** Offsets of the value at a path, or of the nearest thing around it that exists. */
function place(tree: Document | undefined, path: FieldPath): { readonly start: number; readonly end: number } {
  if (tree === undefined) return { start: 0, end: 0 };
  for (let size = path.length; size >= 0; size--) {
    const node = size === 0 ? tree.contents : tree.getIn(path.slice(0, size), true);
    if (isNode(node) && node.range) return { start: node.range[0], end: node.range[1] };
  }
  return { start: 0, end: 0 };
}

/** Reads objects from texts. Of two objects of the same kind and name the later one counts, with a warning. */
export function loadObjects(sources: readonly Source[]): LoadedObjects {
  const loader = new Loader();
  for (const source of sources) loader.load(source);
  return loader.finish();
}
