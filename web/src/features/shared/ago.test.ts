import { describe, expect, it } from 'vitest';
import { agoOf, spanOf } from './ago';

describe('times', () => {
  it('are told relative to now while they are near, and as a date after that', () => {
    const now = Date.UTC(2026, 4, 20, 12);
    const words = (ms: number) => agoOf(now + ms, now);
    expect(words(-5 * 60_000)).toBe(new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }).format(-5, 'minute'));
    expect(words(3 * 3_600_000)).toBe(new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }).format(3, 'hour'));
    expect(words(-40 * 86_400_000)).toContain('2026');
  });

  it('that last are told in their two largest parts', () => {
    expect(spanOf(0)).toBe('0 s');
    expect(spanOf(59_400)).toBe('59 s');
    expect(spanOf(3_900_000)).toBe('1 h 5 min');
    expect(spanOf(3_605_000)).toBe('1 h');
    expect(spanOf(2 * 86_400_000 + 3_600_000)).toBe('2 d 1 h');
  });
});
