/** A line through points, for a drawing of fixed size: the last minutes from left to right, 0 at the bottom. */
import { type Point, SPAN_MS } from '../../model/jobs';

export const WIDTH = 300;
export const HEIGHT = 64;
const MARGIN = 4;

export interface Drawn {
  readonly line: string;
  /** The same, closed along the bottom. */
  readonly area: string;
}

/** `most` is the value that reaches the top. */
export function curve(points: readonly Point[], now: number, most: number): Drawn {
  if (points.length < 2) return { line: '', area: '' };
  const x = (at: number) => WIDTH * (1 - Math.min(1, Math.max(0, now - at) / SPAN_MS));
  const y = (value: number) => HEIGHT - MARGIN - (most > 0 ? (value / most) * (HEIGHT - 2 * MARGIN) : 0);
  const places = points.map(({ at, value }) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
  const line = `M${places.join('L')}`;
  const first = points[0]?.at ?? now;
  const last = points.at(-1)?.at ?? now;
  return { line, area: `${line}L${x(last).toFixed(1)} ${HEIGHT}L${x(first).toFixed(1)} ${HEIGHT}Z` };
}
