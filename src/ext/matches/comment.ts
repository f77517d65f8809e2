/** `-m comment --comment TEXT`: always true. Kernel: comment_mt(), net/netfilter/xt_comment.c. */
import type { MatchExt } from '../extension.js';
import { cutBytes, saveString } from '../option.js';

export interface CommentMatch {
  readonly text: string;
}

export const comment: MatchExt<CommentMatch> = {
  kind: 'comment',
  families: [4, 6],
  options: [{ name: '--comment', plain: 'text' }],
  parse: (given) => ({ text: cutBytes(given.required('--comment')?.values[0] ?? '', 255) }),
  print: (m) => `--comment ${saveString(m.text)}`,
  bind: () => () => true,
  lower: () => [],
};
