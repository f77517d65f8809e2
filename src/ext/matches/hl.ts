/** `-m hl`: hop limit of IPv6. */
import { hopMatch } from '../hop-count.js';

export const hl = hopMatch('hl');
