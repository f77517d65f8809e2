/** `-j TTL`: changes the time to live of IPv4. */
import { hopTarget } from '../hop-count.js';

export const TTL = hopTarget('TTL');
