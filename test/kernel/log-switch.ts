/** Whether LOG lines can be had: the switch that lets namespaces other than the first write them is ours to turn. */
import { accessSync, constants } from 'node:fs';

const SETTING = '/proc/sys/net/netfilter/nf_log_all_netns';

export function mayLog(): boolean {
  try {
    accessSync(SETTING, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
