/** `-j HL`: changes the hop limit of IPv6. */
import { hopTarget } from '../hop-count.js';

export const HL = hopTarget('HL');
