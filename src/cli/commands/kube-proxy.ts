/** `chainwalk kube-proxy OBJECTS…`: what kube-proxy writes for a node, why, and what it has done in a history. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { IpFamily } from '../../kube/address.js';
import { AllNodes } from '../../kube/all-nodes.js';
import { clusterState, type KubeCluster, nodeContext } from '../../kube/cluster.js';
import { explainRules, printExplanations } from '../../kube/explain.js';
import { faultOfHistory, type History, replayHistory } from '../../kube/history.js';
import type { Balance } from '../../kube/proxy/context.js';
import { fullRestore } from '../../kube/proxy/full-text.js';
import { JUMPS, jumpSpec } from '../../kube/proxy/jumps.js';
import { nodeText } from '../../kube/proxy/node-text.js';
import { rawRules, readRules } from '../../kube/read-rules.js';
import { printTable, tableRows } from '../../kube/table-view.js';
import { EXIT_NO, Failure } from '../failure.js';
import { readSource } from '../input.js';
import { checkMode, chooseNode, isRuleFile, loadCluster, objectSources } from '../kube-input.js';
import { printDiagnostics, printResult } from '../output.js';
import { addFamilyOptions, type FamilyOptions, familyOf } from '../rules.js';

interface Options extends FamilyOptions {
  readonly mode?: string;
  readonly node?: string;
  readonly config?: string;
  readonly history?: string;
  readonly allNodes?: boolean;
  readonly compare?: boolean;
  readonly output?: string;
  readonly balance: Balance;
  readonly table?: boolean;
  readonly explain?: boolean;
  readonly save?: boolean;
  readonly jumps?: boolean;
  readonly json?: boolean;
}

const VIEWS = ['table', 'explain', 'save', 'jumps', 'allNodes', 'compare'] as const;

export function register(program: Command): void {
  const command = program
    .command('kube-proxy')
    .description("what kube-proxy v1.37 hands to iptables-restore on a node's first sync, byte for byte")
    .argument('[objects...]', 'Services, EndpointSlices (or Pods), Nodes as kubectl prints them: files, folders, -')
    .option('--mode <mode>', 'iptables (default: the configuration file, else iptables)')
    .option('--config <file>', 'KubeProxyConfiguration as it stands')
    .option('--node <name>', 'the node (default: the only one)')
    .option('--all-nodes', 'the rules of all nodes, once for nodes that have the same')
    .option('--compare', 'are the rules of all nodes the same? where do they differ and why; exit 1 if they differ')
    .option('-o, --output <folder>', 'with --all-nodes: write NODE.ipv4.restore and NODE.ipv6.restore there')
    .option('--save', 'the whole rule file of a node: with the jumps from built-in chains')
    .option('--jumps', 'only the jumps from built-in chains, as iptables commands in order')
    .option('--explain', 'above each rule: the object and field that caused it, and why')
    .option('--table', 'addresses and their endpoints; also for rule files of a real node')
    .addOption(
      new Option('--balance <how>', 'random as kube-proxy does it, or nth: endpoints take turns')
        .choices(['random', 'nth'])
        .default('random'),
    )
    .option('--history <file>', 'replay recorded histories, one JSON a line; - for standard input')
    .option('--json', 'JSON')
    .addHelpText(
      'after',
      `
Examples:
  kubectl get services,endpointslices,nodes -A -o yaml | chainwalk kube-proxy --node worker-1 -
  chainwalk kube-proxy --table cluster.yaml
  chainwalk kube-proxy --table node-dump.rules
  chainwalk kube-proxy --compare --config kube-proxy.yaml objects/`,
    );
  addFamilyOptions(command).action((paths: readonly string[], options: Options) => {
    const views = VIEWS.filter((view) => options[view] === true);
    if (views.length > 1) throw new Failure(`error: ${views.map(flagOf).join(' and ')} exclude each other`);
    if (options.ipv4 === true && options.ipv6 === true)
      throw new Failure('error: --ipv4 and --ipv6 exclude each other');
    if (options.mode !== undefined) checkMode(options.mode);
    if (options.history !== undefined) {
      if (paths.length > 0) throw new Failure('error: --history takes no objects');
      replay(options.history);
      return;
    }
    if (paths.length === 0) throw new Failure('error: no objects given (try --help)');
    run(paths, options);
  });
}

function flagOf(view: string): string {
  return `--${view.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function run(paths: readonly string[], options: Options): void {
  const sources = paths.flatMap(objectSources);
  if (sources.some(isRuleFile)) {
    if (options.table !== true)
      throw new Failure(`${sources.find(isRuleFile)!.name}: a rule file is read with --table only`);
    for (const source of sources) {
      const read = readRules(source, familyOf(source, options) === 6 ? 'IPv6' : 'IPv4');
      printDiagnostics(read.diagnostics);
      if (!read.ok) throw new Failure('the rules cannot be read');
      printTableOf(read.rules, options);
    }
    return;
  }
  const cluster = loadCluster(sources, options.config);
  if (options.mode === undefined) checkMode(cluster.config.mode);
  const family: IpFamily = options.ipv6 === true ? 'IPv6' : 'IPv4';
  if (options.allNodes === true || options.compare === true) {
    runAllNodes(cluster, family, options);
    return;
  }
  const node = chooseNode(cluster, options.node);
  const state = clusterState(cluster, family);
  const { balance } = options;
  const context = nodeContext(cluster, node, family, {
    balance,
    ...(options.node === undefined ? {} : { name: options.node }),
  });
  if (options.explain === true) {
    const explanations = explainRules(cluster, state, context);
    printResult(options.json === true ? `${JSON.stringify(explanations)}\n` : printExplanations(explanations));
  } else if (options.table === true) {
    printTableOf(rawRules(fullRestore(state, context)), options);
  } else if (options.jumps === true) {
    const tool = family === 'IPv6' ? 'ip6tables' : 'iptables';
    const lines = JUMPS.map((jump) => `${tool} -w 5 -t ${jump.table} -I ${jumpSpec(jump)}`);
    printResult(options.json === true ? `${JSON.stringify(JUMPS)}\n` : `${lines.join('\n')}\n`);
  } else {
    const text = options.save === true ? nodeText(state, context) : fullRestore(state, context);
    printResult(
      options.json === true ? `${JSON.stringify({ node: context.nodeName, family, restore: text })}\n` : text,
    );
  }
}

function printTableOf(rules: ReturnType<typeof rawRules>, options: Options): void {
  const rows = tableRows(rules);
  printResult(options.json === true ? `${JSON.stringify(rows)}\n` : printTable(rows));
}

function allNodes(cluster: KubeCluster, family: IpFamily, balance: Balance): AllNodes {
  if (cluster.nodes.length === 0) throw new Failure('the objects hold no Node');
  if (cluster.config.hostnameOverride !== '')
    throw new Failure('hostnameOverride names one node; it does not go with all nodes');
  const contexts = cluster.nodes.map((node) => nodeContext(cluster, node, family, { balance }));
  return new AllNodes(clusterState(cluster, family), contexts);
}

/** Names for a line: the first few, and how many more. */
function printNames(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ');
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}

function runAllNodes(cluster: KubeCluster, family: IpFamily, options: Options): void {
  if (options.output !== undefined) {
    writeAllNodes(cluster, options.output, options.balance);
    return;
  }
  const nodes = allNodes(cluster, family, options.balance);
  const groups = nodes.groups();
  if (options.compare === true) {
    const differences = nodes.differences();
    const identical = groups.length === 1;
    if (options.json === true) {
      printResult(`${JSON.stringify({ family, nodes: nodes.nodeNames.length, identical, groups, differences })}\n`);
    } else if (identical) {
      printResult(`${family}: all ${nodes.nodeNames.length} nodes have the same rules\n`);
    } else {
      const lines = [`${family}: ${nodes.nodeNames.length} nodes have ${groups.length} different sets of rules`];
      for (const group of groups) lines.push(`  same on ${printNames(group)}`);
      for (const { what, why, groups: parts } of differences) {
        lines.push('', what, `  why: ${why}`);
        for (const part of parts) lines.push(`  same on ${printNames(part)}`);
      }
      printResult(`${lines.join('\n')}\n`);
    }
    if (!identical) process.exitCode = EXIT_NO;
    return;
  }
  const texts = groups.map((group) => ({ nodes: group, restore: nodes.text(group[0]!) }));
  if (options.json === true) printResult(`${JSON.stringify({ family, groups: texts })}\n`);
  else for (const { nodes: names, restore } of texts) printResult(`# ${names.join(' ')}\n${restore}`);
}

function writeAllNodes(cluster: KubeCluster, folder: string, balance: Balance): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const family of ['IPv4', 'IPv6'] as const) {
      const nodes = allNodes(cluster, family, balance);
      for (const group of nodes.groups()) {
        const text = nodes.text(group[0]!);
        for (const name of group) writeFileSync(join(folder, `${name}.${family.toLowerCase()}.restore`), text);
      }
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function replay(path: string): void {
  const source = readSource(path);
  const whole = parseJson(source.text);
  if (whole.ok) {
    replayOne(whole.value, source.name);
    return;
  }
  source.text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const place = `${source.name}:${i + 1}:1`;
    const parsed = parseJson(line);
    if (!parsed.ok) throw new Failure(`${place}: not JSON: ${parsed.fault}`);
    replayOne(parsed.value, place);
  });
}

function parseJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly fault: string } {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, fault: error instanceof Error ? error.message : String(error) };
  }
}

function replayOne(value: unknown, place: string): void {
  const fault = faultOfHistory(value);
  if (fault !== undefined) throw new Failure(`${place}: not a history: ${fault}`);
  const history = value as History; // the check has gone over its shape
  let steps: ReturnType<typeof replayHistory>;
  try {
    steps = replayHistory(history);
  } catch (error) {
    throw new Failure(`${place}: ${error instanceof Error ? error.message : String(error)}`);
  }
  printResult(`${JSON.stringify({ id: history.id, steps })}\n`);
}
