/** `chainwalk diff OLD NEW`: what differs between two rule files, or between what kube-proxy writes for two clusters. */
import { type Command, Option } from 'commander';
import { countDifferences, diffRuleSets, printCounts } from '../../analysis/diff.js';
import type { Source } from '../../base/source.js';
import { printEndpointCounts, summarizeByService } from '../../kube/change-summary.js';
import { clusterState, nodeContext } from '../../kube/cluster.js';
import { nodeText } from '../../kube/proxy/node-text.js';
import { rawRules, readRules } from '../../kube/read-rules.js';
import type { RuleTexts } from '../../kube/rule-text.js';
import { DIFF_FORMATS, type DiffFormat, type DiffSection, printDiff } from '../../report/rule-diff.js';
import { paintFor } from '../colour.js';
import { EXIT_NO, Failure } from '../failure.js';
import { isFolder, readFolder, readSource } from '../input.js';
import { checkMode, chooseNode, isRuleFile, loadCluster, objectSources } from '../kube-input.js';
import { printDiagnostics, printResult } from '../output.js';
import { addFamilyOptions, type FamilyOptions, familyOf } from '../rules.js';

interface Options extends FamilyOptions {
  readonly format: DiffFormat;
  readonly json?: boolean;
  readonly node?: string;
  readonly config?: string;
}

interface Side {
  readonly source: Source;
  readonly family: 'IPv4' | 'IPv6';
  /** Made here from objects, not read from a file. */
  readonly generated: boolean;
}

/** The text of one side: a rule file as it stands, or what kube-proxy has written on a node of a cluster. */
function readSide(path: string, options: Options): Side {
  const wanted = options.ipv6 === true ? 'IPv6' : 'IPv4';
  let sources: Source[];
  if (isFolder(path)) {
    const name = options.ipv6 === true ? 'ip6tables-save' : 'iptables-save';
    const bundled = readFolder(path, [name]).get(name);
    sources = bundled === undefined ? objectSources(path) : [bundled];
  } else sources = [readSource(path)];
  const [first] = sources;
  if (sources.length === 1 && isRuleFile(first!)) {
    return { source: first!, family: familyOf(first!, options) === 6 ? 'IPv6' : 'IPv4', generated: false };
  }
  const cluster = loadCluster(sources, options.config);
  checkMode(cluster.config.mode);
  const node = chooseNode(cluster, options.node);
  const context = nodeContext(cluster, node, wanted, options.node === undefined ? {} : { name: options.node });
  return {
    source: { name: path, text: nodeText(clusterState(cluster, wanted), context) },
    family: wanted,
    generated: true,
  };
}

function rulesOf(before: Side, after: Side): readonly [RuleTexts, RuleTexts] {
  if (before.family !== after.family) throw new Failure(`one side is ${before.family}, the other ${after.family}`);
  if (before.generated && after.generated) return [rawRules(before.source.text), rawRules(after.source.text)];
  const read = [before, after].map((side) => readRules(side.source, side.family));
  const broken = read.filter((one) => !one.ok);
  for (const one of read) printDiagnostics(one.diagnostics);
  if (broken.length > 0) throw new Failure('the rules cannot be read');
  // Both in one spelling, or both as they stand.
  const [a, b] = read as [(typeof read)[number], (typeof read)[number]]; // two sides
  return a.canonical && b.canonical ? [a.rules, b.rules] : [rawRules(before.source.text), rawRules(after.source.text)];
}

export function register(program: Command): void {
  const command = program
    .command('diff')
    .description('what differs between two rule files, or between the rules of two clusters; exit 1 if anything does')
    .argument('<old>', 'rule file, bundle folder, or Kubernetes objects (file or folder)')
    .argument('<new>', 'the same for the other side')
    .addOption(new Option('--format <format>', 'form of the output').choices([...DIFF_FORMATS]).default('text'))
    .option('--json', 'the same as --format json')
    .option('--node <name>', 'for objects: the node whose rules are compared')
    .option('--config <file>', 'for objects: KubeProxyConfiguration')
    .addHelpText(
      'after',
      '\nExamples:\n  chainwalk diff before.rules after.rules\n  chainwalk diff --node worker-1 --format html before.yaml after.yaml > diff.html',
    );
  addFamilyOptions(command).action((oldPath: string, newPath: string, options: Options) => {
    const [before, after] = rulesOf(readSide(oldPath, options), readSide(newPath, options));
    const { chains } = diffRuleSets(before, after);
    const { services, labels } = summarizeByService(before, after, chains);
    const sections = services.map((service): DiffSection => {
      const counts = printCounts(countDifferences(service.chains));
      const endpoints = service.owner === '' ? '' : printEndpointCounts(service);
      return {
        title: service.owner === '' ? 'other rules' : service.owner,
        summary: [endpoints, counts].filter((text) => text !== '').join('; '),
        chains: service.chains,
      };
    });
    const labelOf = (chain: string): string | undefined => labels.get(chain)?.text;
    const format = options.json === true ? 'json' : options.format;
    printResult(printDiff({ before: oldPath, after: newPath, sections, labelOf }, format, paintFor(process.stdout)));
    if (chains.length > 0) process.exitCode = EXIT_NO;
  });
}
