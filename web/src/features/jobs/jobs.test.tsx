import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Jobs as JobsApi, WatchListener } from '../../app/jobs';
import { cell } from '../../app/store';
import { toasts } from '../../app/toasts';
import type { FailedMessage, Queue, Watched } from '../../model/jobs';
import { Drawn } from '../shared/drawn';
import { Jobs } from './Jobs';

const QUEUE: Queue = {
  name: 'WorkerFileUploaded',
  ready: 3,
  inFlight: 1,
  delayed: 2,
  failed: 1,
  skipped: 0,
  oldestAt: 1_000,
  handled: 10,
  failures: 4,
};

const FAILED: FailedMessage = {
  id: 'f1',
  queue: 'WorkerFileUploaded',
  messageId: 'm1',
  type: 'urn:message:Loquat.File.V1:FileUploaded',
  error: 'The disk is full.',
  attempts: 6,
  failedAt: Date.UTC(2026, 4, 4),
  sentAt: 0,
  envelope: '{"messageId":"m1"}',
  skipped: false,
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

function watched(at: number, fields: Partial<Watched> = {}): Watched {
  return { at, queues: [QUEUE], jobs: [], available: true, problem: '', ...fields };
}

function world() {
  let failed = [FAILED];
  let listener: WatchListener | undefined;
  const gone = async (id: string) => {
    failed = failed.filter((message) => message.id !== id);
  };
  const jobs = {
    watch: async (told: WatchListener) => {
      listener = told;
    },
    failed: vi.fn(async () => ({ items: failed, next: undefined })),
    failedMessage: vi.fn(async () => FAILED),
    retry: vi.fn(gone),
    discard: vi.fn(gone),
  };
  const screen = new Drawn({ jobs: jobs as unknown as JobsApi, directory: { users: cell({}), want() {}, learn() {} } });
  const tell = (next: Watched) => screen.run(() => listener?.onWatched(next));
  return { screen, jobs, tell, listener: () => listener };
}

let drawn: Drawn | undefined;
afterEach(async () => {
  await drawn?.end();
  toasts.set([]);
});

describe('the page of jobs', () => {
  it('shows each queue, and draws what is handled', async () => {
    const { screen, tell } = world();
    drawn = screen;
    await screen.draw(<Jobs />);
    await tell(watched(59_000));
    await tell(watched(61_000));
    await tell(watched(63_000, { queues: [{ ...QUEUE, handled: 20 }] }));
    const cells = [...(screen.get('queue-row')?.querySelectorAll('td') ?? [])].map((each) => each.textContent);
    expect(cells.slice(0, 7)).toEqual(['WorkerFileUploaded', '3', '1', '2', '1 min 2 s', '20', '1']);
    const chart = screen.get('jobs-chart')?.querySelector('svg')?.getAttribute('aria-label');
    expect(chart).toContain('now 5.0 / s');
    expect(screen.get('jobs-chart')?.querySelector('path')?.getAttribute('d')).toMatch(/^M/);
  });

  it('says when the bus does not answer, and keeps what was known', async () => {
    const { screen, tell } = world();
    drawn = screen;
    await screen.draw(<Jobs />);
    await tell(watched(1, { available: false, problem: 'No connection to the broker.' }));
    expect(screen.text('bus-problem')).toContain('No connection to the broker.');
    expect(screen.all('queue-row')).toHaveLength(1);
    await tell(watched(2));
    expect(screen.get('bus-problem')).toBeNull();
  });

  it('shows a failed message with error, trace and payload, and retries it', async () => {
    const { screen, jobs, tell } = world();
    drawn = screen;
    await screen.draw(<Jobs />);
    await tell(watched(1));
    await screen.click('failed-show');
    expect(screen.text('failed-error')).toBe('The disk is full.');
    expect(screen.text('failed-trace')).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(screen.text('failed-payload')).toBe('{\n  "messageId": "m1"\n}');
    await screen.click('failed-message-retry');
    expect(jobs.retry).toHaveBeenCalledWith('f1');
    expect(screen.all('failed-row')).toHaveLength(0);
  });

  it('discards a message only after asking', async () => {
    const { screen, jobs, tell } = world();
    drawn = screen;
    await screen.draw(<Jobs />);
    await tell(watched(1));
    await screen.click('failed-show');
    await screen.click('failed-discard');
    expect(jobs.discard).not.toHaveBeenCalled();
    await screen.click('confirm');
    expect(jobs.discard).toHaveBeenCalledWith('f1');
    expect(screen.all('failed-row')).toHaveLength(0);
  });

  it('asks for the failed ones again when their number changes', async () => {
    const { screen, jobs, tell } = world();
    drawn = screen;
    await screen.draw(<Jobs />);
    await tell(watched(1));
    const before = jobs.failed.mock.calls.length;
    await tell(watched(2));
    expect(jobs.failed.mock.calls.length).toBe(before);
    await tell(watched(3, { queues: [{ ...QUEUE, failed: 2 }] }));
    expect(jobs.failed.mock.calls.length).toBe(before + 1);
  });
});
