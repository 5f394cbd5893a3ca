/** How long ago, or how soon, in the reader's language. */
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

const UNITS = [
  ['second', 60_000, 1000],
  ['minute', 3_600_000, 60_000],
  ['hour', 86_400_000, 3_600_000],
  ['day', 14 * 86_400_000, 86_400_000],
] as const;

/** Two weeks and more are told as a date. */
export function agoOf(at: number, now: number): string {
  const distance = at - now;
  for (const [unit, below, size] of UNITS) {
    if (Math.abs(distance) < below) return relative.format(Math.trunc(distance / size), unit);
  }
  return date.format(at);
}

/** A span such as `1 h 5 min`, in its two largest parts. */
export function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}
