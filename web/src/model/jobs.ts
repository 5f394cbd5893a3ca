/** Queues, jobs and webhooks as plain data, and what becomes of the queues over time. */
import {
  FailedReason,
  type WatchQueuesResponse,
  type FailedMessage as WireFailed,
  type Job as WireJob,
  type Queue as WireQueue,
} from '../api/gen/loquat/worker/v1/job_service_pb';
import type { Delivery as WireDelivery, Webhook as WireWebhook } from '../api/gen/loquat/worker/v1/webhook_service_pb';
import { millis } from './decode';

export interface Queue {
  readonly name: string;
  readonly ready: number;
  readonly inFlight: number;
  readonly delayed: number;
  readonly failed: number;
  readonly skipped: number;
  /** 0 when there is none. */
  readonly oldestAt: number;
  readonly handled: number;
  readonly failures: number;
}

export interface Job {
  readonly id: string;
  readonly name: string;
  /** Empty for a message that was put off. */
  readonly cron: string;
  readonly nextAt: number;
  /** 0 when it did not run yet. */
  readonly lastAt: number;
  readonly lastError: string;
  readonly destination: string;
}

/** The queues and jobs at one time. */
export interface Watched {
  readonly at: number;
  readonly queues: readonly Queue[];
  readonly jobs: readonly Job[];
  readonly available: boolean;
  readonly problem: string;
}

export interface FailedMessage {
  readonly id: string;
  readonly queue: string;
  readonly messageId: string;
  readonly type: string;
  readonly error: string;
  readonly attempts: number;
  readonly failedAt: number;
  /** 0 when it does not say. */
  readonly sentAt: number;
  readonly envelope: string;
  readonly skipped: boolean;
  readonly traceparent: string;
}

export interface Webhook {
  readonly id: string;
  readonly url: string;
  /** Empty for all rooms. */
  readonly roomId: string;
  readonly events: readonly string[];
  readonly createdBy: string;
  readonly createdAt: number;
}

export interface Delivery {
  readonly id: string;
  readonly messageId: string;
  readonly event: string;
  readonly at: number;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly error: string;
  readonly durationMs: number;
}

/** Everything together at one time: what the chart is made of. */
export interface Sample {
  readonly at: number;
  readonly handled: number;
  readonly failures: number;
  /** How long the oldest message has waited, in milliseconds. */
  readonly ageMs: number;
}

export interface Point {
  readonly at: number;
  readonly value: number;
}

/** So far back does the chart reach. */
export const SPAN_MS = 10 * 60_000;

export function sampleOf({ at, queues }: Watched): Sample {
  const sum = (count: (queue: Queue) => number) => queues.reduce((total, queue) => total + count(queue), 0);
  const oldest = Math.min(...queues.flatMap(({ oldestAt }) => oldestAt || []));
  const ageMs = Number.isFinite(oldest) ? Math.max(0, at - oldest) : 0;
  return { at, handled: sum((queue) => queue.handled), failures: sum((queue) => queue.failures), ageMs };
}

/** With one more, and without what is too long ago. One that is not newer says nothing. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1);
  if (last && sample.at <= last.at) return samples;
  return [...samples.filter(({ at }) => at > sample.at - SPAN_MS), sample];
}

/** How many a second, between each sample and the one before. A count that fell began anew with its process. */
export function rates(samples: readonly Sample[], count: 'handled' | 'failures'): readonly Point[] {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index] ?? sample;
    const more = sample[count] >= before[count] ? sample[count] - before[count] : sample[count];
    return { at: sample.at, value: (more * 1000) / Math.max(1, sample.at - before.at) };
  });
}

export function ages(samples: readonly Sample[]): readonly Point[] {
  return samples.map(({ at, ageMs }) => ({ at, value: ageMs / 1000 }));
}

/** The envelope laid out for reading; as it came when it is no JSON. */
export function laidOut(envelope: string): string {
  try {
    return JSON.stringify(JSON.parse(envelope), null, 2);
  } catch {
    return envelope;
  }
}

/** The id of a trace, as logs have it, in a W3C `traceparent`. */
export function traceId(traceparent: string): string {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/.exec(traceparent)?.[1] ?? '';
}

export function queue(from: WireQueue): Queue {
  return {
    name: from.name,
    ready: Number(from.ready),
    inFlight: Number(from.inFlight),
    delayed: Number(from.delayed),
    failed: Number(from.failed),
    skipped: Number(from.skipped),
    oldestAt: millis(from.oldestAt),
    handled: Number(from.handled),
    failures: Number(from.failures),
  };
}

export function job(from: WireJob): Job {
  const { id, name, cron, lastError, destination } = from;
  return { id, name, cron, lastError, destination, nextAt: millis(from.nextAt), lastAt: millis(from.lastAt) };
}

export function watched(from: WatchQueuesResponse): Watched {
  const [queues, jobs] = [from.queues.map(queue), from.jobs.map(job)];
  return { at: millis(from.at), queues, jobs, available: from.busAvailable, problem: from.busProblem };
}

export function failedMessage(from: WireFailed): FailedMessage {
  const { id, queue: name, messageId, messageType: type, error, attempts, envelopeJson: envelope, traceparent } = from;
  const times = { failedAt: millis(from.failedAt), sentAt: millis(from.sentAt) };
  const skipped = from.reason === FailedReason.SKIPPED;
  return { id, queue: name, messageId, type, error, attempts, envelope, traceparent, skipped, ...times };
}

export function webhook(from: WireWebhook): Webhook {
  const { id, url, roomId, events, createdBy } = from;
  return { id, url, roomId, events, createdBy, createdAt: millis(from.createdAt) };
}

export function delivery(from: WireDelivery): Delivery {
  const { id, messageId, event, status, error, durationMs } = from;
  return { id, messageId, event, status, error, durationMs, at: millis(from.at) };
}
