/** What administrators see and mend of queues, jobs and webhooks. */
import { backoff } from '../api/backoff';
import type { Call } from '../api/client';
import { ApiError } from '../api/errors';
import { JobService } from '../api/gen/loquat/worker/v1/job_service_pb';
import { WebhookService } from '../api/gen/loquat/worker/v1/webhook_service_pb';
import * as model from '../model/jobs';
import type { Page } from './loading';

export interface WatchListener {
  readonly onWatched: (watched: model.Watched) => void;
  /** The stream broke; it is asked for again. Empty when it is there. */
  readonly onTrouble: (cause: ApiError | undefined) => void;
}

export interface Jobs {
  /** Tells of the queues until `signal` says stop; comes back when the stream breaks. */
  watch(listener: WatchListener, signal: AbortSignal): Promise<void>;
  failed(queue: string, from?: string): Promise<Page<model.FailedMessage, string>>;
  failedMessage(id: string): Promise<model.FailedMessage | undefined>;
  retry(id: string): Promise<void>;
  discard(id: string): Promise<void>;
  run(id: string): Promise<void>;
  cancel(id: string): Promise<void>;
  webhooks(): Promise<readonly model.Webhook[]>;
  /** Its secret, told once. */
  createWebhook(wish: { url: string; roomId: string; events: readonly string[] }): Promise<string>;
  deleteWebhook(id: string): Promise<void>;
  deliveries(webhookId: string, from?: string): Promise<Page<model.Delivery, string>>;
}

/** One stream, from its beginning to its end. */
export type Listen = (signal: AbortSignal) => AsyncIterable<model.Watched>;

/** The queues over gRPC-Web, which is fetched when it is needed. */
export function listenOver(token: () => Promise<string>): Listen {
  return async function* (signal) {
    const { listen } = await import('../api/web');
    const messages = listen(JobService.method.watchQueues, {}, await token(), signal);
    for await (const message of messages) yield model.watched(message);
  };
}

/** Resolves when the time is over or `signal` says stop. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}

/** A refusal is final: whoever may not see it will not be allowed to by asking again. */
export async function watching(listen: Listen, { onWatched, onTrouble }: WatchListener, signal: AbortSignal) {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      for await (const watched of listen(signal)) {
        if (signal.aborted) return;
        attempt = 0;
        onTrouble(undefined);
        onWatched(watched);
      }
      if (!signal.aborted) onTrouble(new ApiError('unavailable', 'The stream has ended.'));
    } catch (cause) {
      if (signal.aborted) return;
      const error = cause instanceof ApiError ? cause : new ApiError('unknown', String(cause));
      onTrouble(error);
      if (error.code === 'permission_denied' || error.code === 'unimplemented') return;
    }
    await pause(backoff(attempt, Math.random), signal);
  }
}

export function jobsOver(call: Call, listen: Listen): Jobs {
  const { method } = JobService;
  const hooks = WebhookService.method;
  return {
    watch: (listener, signal) => watching(listen, listener, signal),
    async failed(queue, from) {
      const { messages, nextPageToken } = await call(method.listFailedMessages, { queue, pageToken: from });
      return { items: messages.map(model.failedMessage), next: nextPageToken || undefined };
    },
    async failedMessage(id) {
      const { message } = await call(method.getFailedMessage, { id });
      return message && model.failedMessage(message);
    },
    async retry(id) {
      await call(method.retryFailedMessage, { id }, { keep: false });
    },
    async discard(id) {
      await call(method.discardFailedMessage, { id }, { keep: false });
    },
    async run(id) {
      await call(method.runJob, { id }, { keep: false });
    },
    async cancel(id) {
      await call(method.cancelJob, { id }, { keep: false });
    },
    async webhooks() {
      return (await call(hooks.listWebhooks, {})).webhooks.map(model.webhook);
    },
    async createWebhook({ url, roomId, events }) {
      return (await call(hooks.createWebhook, { url, roomId, events: [...events] }, { keep: false })).secret;
    },
    async deleteWebhook(id) {
      await call(hooks.deleteWebhook, { id });
    },
    async deliveries(webhookId, from) {
      const { deliveries, nextPageToken } = await call(hooks.listDeliveries, { webhookId, pageToken: from });
      return { items: deliveries.map(model.delivery), next: nextPageToken || undefined };
    },
  };
}
