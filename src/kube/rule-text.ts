/**
 * Rule sets as chains of rule lines, without a meaning: what a restore text does to them, and the words of a rule.
 * Reads our own texts and iptables-save dumps alike.
 */
export type ChainMap = Map<string, string[]>;
/** Rules by table and chain, each as it follows `-A CHAIN `. */
export type RuleTexts = Map<string, ChainMap>;

/**
 * Applies a text to rule sets as `iptables-restore --noflush` does: a chain line creates or empties a chain. Lines it
 * does not know are handed to `unknown`. Counters before rules are dropped.
 */
export function restoreInto(rules: RuleTexts, text: string, unknown: (line: string, number: number) => void): void {
  let chains: ChainMap = new Map();
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line === '' || line.startsWith('#') || line === 'COMMIT') continue;
    if (line.startsWith('*')) {
      const table = line.slice(1).trim();
      chains = rules.get(table) ?? new Map();
      rules.set(table, chains);
    } else if (line.startsWith(':')) {
      const end = line.indexOf(' ');
      chains.set(end === -1 ? line.slice(1) : line.slice(1, end), []);
    } else {
      const at = line.startsWith('[') ? line.indexOf('] ') + 2 : 0;
      const command = line.slice(at, at + 3);
      const end = line.indexOf(' ', at + 3);
      const chain = end === -1 ? line.slice(at + 3) : line.slice(at + 3, end);
      if (command === '-A ' && chains.has(chain)) chains.get(chain)!.push(end === -1 ? '' : line.slice(end + 1));
      else if (command === '-X ') chains.delete(chain);
      else unknown(line, i + 1);
    }
  }
}

/** The words of a rule; quotes hold words together, a backslash inside them keeps the next character. */
export function words(rule: string): string[] {
  const found: string[] = [];
  for (const match of rule.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    found.push(match[2] ?? match[1]!.replace(/\\(.)/g, '$1'));
  }
  return found;
}
