/** Incoming webhooks of a room, as calls. */
import type { Call } from '../api/client';
import { IncomingWebhookService } from '../api/gen/loquat/chat/v1/incoming_webhook_service_pb';
import { type IncomingWebhook, incomingWebhook } from '../model/hooks';
import { absolute } from './admin';

export interface Incoming {
  list(roomId: string): Promise<readonly IncomingWebhook[]>;
  /** Its address, with its secret: told once. */
  create(roomId: string, name: string): Promise<string>;
  rename(roomId: string, webhookId: string, name: string): Promise<void>;
  remove(roomId: string, webhookId: string): Promise<void>;
}

export function incomingOver(call: Call): Incoming {
  const { listIncomingWebhooks, createIncomingWebhook, renameIncomingWebhook, deleteIncomingWebhook } =
    IncomingWebhookService.method;
  return {
    async list(roomId) {
      return (await call(listIncomingWebhooks, { roomId })).webhooks.map(incomingWebhook);
    },
    async create(roomId, name) {
      // Not made again when the connection breaks: nobody would have seen the first one's secret.
      const { url } = await call(createIncomingWebhook, { roomId, name }, { keep: false });
      return absolute(url, location.origin);
    },
    async rename(roomId, webhookId, name) {
      await call(renameIncomingWebhook, { roomId, webhookId, name });
    },
    async remove(roomId, webhookId) {
      await call(deleteIncomingWebhook, { roomId, webhookId }, { keep: false });
    },
  };
}
