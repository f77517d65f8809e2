/** What a scenario of the recordings says: how its hosts are joined, which rules they run, and who talks to whom. */
import type { Lab } from './lab.js';

/** A host whose captures and state are recorded. */
export interface HostUnderTest {
  readonly name: string;
  readonly interfaces: readonly string[];
  /** Rules in the form iptables-restore reads. */
  readonly rules: string;
  readonly rules6: string;
  /** One sentence for the comment at the top of the rule file. */
  readonly about: string;
}

export interface Scenario {
  readonly name: string;
  /** Leave checksums and segments to the virtual cards. */
  readonly offload: boolean;
  readonly hosts: readonly HostUnderTest[];
  build(lab: Lab): Promise<void>;
  traffic(lab: Lab): Promise<void>;
}
