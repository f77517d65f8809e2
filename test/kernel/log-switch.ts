/** Lets namespaces other than the first write LOG lines while the suite runs, and puts the setting back after. */
import { readFileSync, writeFileSync } from 'node:fs';

const SETTING = '/proc/sys/net/netfilter/nf_log_all_netns';

export class LogSwitch {
  /** Log lines can be had. */
  readonly on: boolean;
  readonly #before: string | undefined;

  constructor() {
    let before: string | undefined;
    let on = false;
    try {
      before = readFileSync(SETTING, 'utf8');
      writeFileSync(SETTING, '1');
      on = true;
    } catch {
      // The suite runs without log lines where it may not have them.
    }
    this.#before = before;
    this.on = on;
  }

  restore(): void {
    if (this.#before !== undefined && this.on) writeFileSync(SETTING, this.#before);
  }
}
