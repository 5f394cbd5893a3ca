import { describe, expect, it } from 'vitest';
import { SPAN_MS } from '../../model/jobs';
import { curve } from './curve';

describe('a curve', () => {
  it('goes from left to right, and higher for more', () => {
    const now = SPAN_MS;
    const points = [
      { at: 0, value: 0 },
      { at: SPAN_MS / 2, value: 10 },
      { at: now, value: 5 },
    ];
    expect(curve(points, now, 10)).toEqual({
      line: 'M0.0 60.0L150.0 4.0L300.0 32.0',
      area: 'M0.0 60.0L150.0 4.0L300.0 32.0L300.0 64L0.0 64Z',
    });
  });

  it('lies at the bottom when nothing happens, and is not drawn through a single point', () => {
    const still = [
      { at: 0, value: 0 },
      { at: 1, value: 0 },
    ];
    expect(curve(still, 1, 0).line).toMatch(/^M[\d.]+ 60\.0L[\d.]+ 60\.0$/);
    expect(curve(still.slice(1), 1, 0)).toEqual({ line: '', area: '' });
  });
});
