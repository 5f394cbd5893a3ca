/** When to try again: full jitter, so that clients of a server that restarts do not come all at once. */

const FIRST_MS = 500;
const MOST_MS = 30_000;

export function backoff(attempt: number, random: () => number): number {
  const ceiling = Math.min(MOST_MS, 2 * FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(FIRST_MS + random() * (ceiling - FIRST_MS));
}
