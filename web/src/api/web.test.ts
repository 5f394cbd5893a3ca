import { create, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { BadRequestSchema, ErrorInfoSchema } from './gen/google/rpc/error_details_pb';
import { fromConnect } from './web';

describe('errors over gRPC-Web', () => {
  it('keep their reason and the fields that are wrong', () => {
    const error = new ConnectError('The request is not valid.', Code.InvalidArgument);
    const fieldViolations = [{ field: 'new_password', description: 'must have 8 to 1024 bytes' }];
    error.details = [
      {
        type: 'google.rpc.ErrorInfo',
        value: toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { reason: 'INVALID_REQUEST' })),
      },
      {
        type: 'google.rpc.BadRequest',
        value: toBinary(BadRequestSchema, create(BadRequestSchema, { fieldViolations })),
      },
    ];
    expect(fromConnect(error)).toMatchObject({
      code: 'invalid_argument',
      reason: 'INVALID_REQUEST',
      message: 'The request is not valid.',
      violations: fieldViolations,
    });
  });

  it('say that nobody answered when fetch failed', () => {
    expect(fromConnect(new TypeError('Failed to fetch'))).toMatchObject({ code: 'unavailable', reason: 'CONNECTION' });
    const cut = fromConnect(new ConnectError('missing trailer', Code.Internal));
    expect(cut).toMatchObject({ code: 'unavailable', message: 'The server cannot be reached.' });
  });
});
