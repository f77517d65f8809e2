/** `-m nfacct --nfacct-name`: counts on a named object. Kernel: nfacct_mt(), net/netfilter/xt_nfacct.c. */
import { Field } from '../../wire/field.js';
import type { MatchExt } from '../extension.js';
import { cutBytes, saveString } from '../option.js';

export interface NfacctMatch {
  readonly name: string;
}

export const nfacct: MatchExt<NfacctMatch> = {
  kind: 'nfacct',
  families: [4, 6],
  spansConnections: true,
  options: [{ name: '--nfacct-name' }],
  parse(given) {
    const option = given.required('--nfacct-name');
    if (option?.values[0] === '')
      given.fail(option, 'bad-string', 'nfacct: --nfacct-name must have a minimum length of 1 character');
    return { name: cutBytes(option?.values[0] ?? '', 31) };
  },
  // The tool prints a blank of its own before the string's.
  print: (m) => `--nfacct-name  ${saveString(m.name)}`,
  requires: (m) => [{ kind: 'nfacct', name: m.name }],
  bind: (m, env) => (packet) => env.host.countNfacct(m.name, packet.f[Field.Length]!),
};
