/** gRPC-Web over fetch: what works before anybody is signed in, and streams beside the socket. */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { type ApiError, fromStatus, unavailable } from './errors';
import { StatusSchema } from './gen/google/rpc/status_pb';

const DEADLINE_MS = 20_000;

const BROKEN_OFF = /^(missing trailer|premature (EOF|end of)|missing message)/;

const transport = createGrpcWebTransport({ baseUrl: location.origin });

/** The same error as over the socket, details included. */
export function fromConnect(cause: unknown): ApiError {
  const error = ConnectError.from(cause);
  // Fetch itself failed, or the answer ended before it was over: nobody refused anything.
  if (error.cause instanceof TypeError || BROKEN_OFF.test(error.rawMessage))
    return unavailable('The server cannot be reached.');
  const incoming = error.details.flatMap((detail) => ('type' in detail && 'value' in detail ? [detail] : []));
  const details = incoming.map(({ type, value }) => ({ typeUrl: `type.googleapis.com/${type}`, value }));
  return fromStatus(create(StatusSchema, { code: error.code, message: error.rawMessage, details }));
}

/** A call without a token. */
export async function callOpenly<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  try {
    const answer = await transport.unary(method, undefined, DEADLINE_MS, undefined, request);
    return answer.message;
  } catch (cause) {
    throw fromConnect(cause);
  }
}

/** The messages of a stream, for as long as it lasts. */
export async function* listen<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  accessToken: string,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<O>> {
  async function* once() {
    yield request;
  }
  try {
    const headers = { authorization: `Bearer ${accessToken}` };
    const answer = await transport.stream(method, signal, undefined, headers, once());
    yield* answer.message;
  } catch (cause) {
    throw fromConnect(cause);
  }
}
