/** `-m ttl`: time to live of IPv4. */
import { hopMatch } from '../hop-count.js';

export const ttl = hopMatch('ttl');
