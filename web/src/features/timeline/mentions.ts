/** One's own name where others write it, as the server reads it: behind an `@`, and neither in code nor in a link. */
import type { Nodes } from 'mdast';
import { findAndReplace } from 'mdast-util-find-and-replace';

const MENTION = /(?<![\p{L}\p{N}@._/-])@([A-Za-z0-9._-]+)(?![\p{L}\p{N}])/gu;

/** A plugin that marks mentions of this username. */
export function markMentionsOf(username: string) {
  const mark = (whole: string, name: string) => {
    // A full stop ends the sentence.
    const meant = name.replace(/[.-]+$/, '');
    if (meant.toLowerCase() !== username) return false;
    const mention = {
      type: 'emphasis' as const,
      data: { hName: 'mark', hProperties: { className: ['mention'] } },
      children: [{ type: 'text' as const, value: `@${meant}` }],
    };
    return [mention, { type: 'text' as const, value: whole.slice(meant.length + 1) }];
  };
  return () => (tree: Nodes) => findAndReplace(tree, [MENTION, mark], { ignore: ['link', 'linkReference'] });
}
