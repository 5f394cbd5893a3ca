/** Incoming webhooks of a room, as plain data. */
import type { IncomingWebhook as Wire } from '../api/gen/loquat/chat/v1/incoming_webhook_service_pb';
import { millis } from './decode';

export interface IncomingWebhook {
  readonly id: string;
  readonly name: string;
  readonly createdBy: string;
  readonly createdAt: number;
}

export function incomingWebhook({ id, name, createdBy, createdAt }: Wire): IncomingWebhook {
  return { id, name, createdBy, createdAt: millis(createdAt) };
}
