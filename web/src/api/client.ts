/** Calls by generated method, so that requests and answers are typed. */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { CallOptions } from './calls';
import type { Socket } from './socket';

export type { CallOptions } from './calls';

export type Call = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

export function callOver(socket: Pick<Socket, 'call'>): Call {
  return async (method, request, options) => {
    const path = `/${method.parent.typeName}/${method.name}`;
    const payload = toBinary(method.input, create(method.input, request));
    return fromBinary(method.output, await socket.call(path, payload, options));
  };
}
