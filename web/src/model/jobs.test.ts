import { describe, expect, it } from 'vitest';
import { addSample, ages, laidOut, type Queue, rates, type Sample, SPAN_MS, sampleOf, traceId } from './jobs';

function sample(at: number, handled: number, fields: Partial<Sample> = {}): Sample {
  return { at, handled, failures: 0, ageMs: 0, ...fields };
}

describe('the chart', () => {
  it('adds the queues up, and knows the oldest message of all', () => {
    const plain: Queue = {
      name: 'a',
      ready: 1,
      inFlight: 0,
      delayed: 0,
      failed: 0,
      skipped: 0,
      oldestAt: 9_000,
      handled: 4,
      failures: 1,
    };
    const queues = [plain, { ...plain, name: 'b', oldestAt: 0 }, { ...plain, name: 'c', oldestAt: 7_000 }];
    const all = { at: 10_000, queues, jobs: [], available: true, problem: '' };
    expect(sampleOf(all)).toEqual({ at: 10_000, handled: 12, failures: 3, ageMs: 3_000 });
    expect(sampleOf({ ...all, queues: [] }).ageMs).toBe(0);
  });

  it('shows how many a second, also after a process began anew', () => {
    const samples = [sample(0, 100), sample(2_000, 110), sample(3_000, 4)];
    expect(rates(samples, 'handled')).toEqual([
      { at: 2_000, value: 5 },
      { at: 3_000, value: 4 },
    ]);
    expect(rates([sample(0, 1)], 'handled')).toEqual([]);
    expect(ages([sample(0, 0, { ageMs: 1500 })])).toEqual([{ at: 0, value: 1.5 }]);
  });

  it('forgets what is long ago, and hears nothing twice', () => {
    const samples = [sample(0, 1), sample(1_000, 2)].reduce(addSample, [] as readonly Sample[]);
    expect(addSample(samples, sample(1_000, 3))).toBe(samples);
    expect(addSample(samples, sample(SPAN_MS + 500, 3)).map(({ at }) => at)).toEqual([1_000, SPAN_MS + 500]);
  });
});

describe('a failed message', () => {
  it('is laid out when it is JSON, and else shown as it came', () => {
    expect(laidOut('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(laidOut('{"a":')).toBe('{"a":');
  });

  it('names its trace', () => {
    expect(traceId('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(traceId('')).toBe('');
    expect(traceId('nonsense')).toBe('');
  });
});
