import { create } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { backoff } from './backoff';
import { ApiError, describeError, fromBody, fromResponse, fromStatus, sentence } from './errors';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './gen/google/rpc/error_details_pb';
import { StatusSchema } from './gen/google/rpc/status_pb';

describe('errors', () => {
  it('are read from a status with its details', () => {
    const fieldViolations = [{ field: 'text', description: 'Text is too long.' }];
    const status = create(StatusSchema, {
      code: 3,
      message: 'The request is not valid.',
      details: [
        anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: 'INVALID_REQUEST' })),
        anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })),
        anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } })),
      ],
    });
    const error = fromStatus(status);
    expect(error).toMatchObject({ code: 'invalid_argument', reason: 'INVALID_REQUEST', retryAfterMs: 1500 });
    expect(error.passing).toBe(false);
    expect(describeError(error)).toBe('Text is too long.');
  });

  it('are read from JSON, and from a page that is not ours', async () => {
    const body = JSON.stringify({ code: 'unauthenticated', reason: 'BAD_CREDENTIALS', message: 'No.' });
    expect(await fromResponse(new Response(body, { status: 401 }))).toMatchObject({
      code: 'unauthenticated',
      reason: 'BAD_CREDENTIALS',
      message: 'No.',
    });
    expect(await fromResponse(new Response('<h1>Bad gateway</h1>', { status: 502 }))).toMatchObject({
      code: 'unavailable',
    });
  });

  it('are read from a body that is there already', () => {
    const body = JSON.stringify({ code: 'resource_exhausted', reason: 'FILE_TOO_LARGE', message: 'Too large.' });
    expect(fromBody(body, 413)).toMatchObject({ code: 'resource_exhausted', reason: 'FILE_TOO_LARGE' });
    expect(fromBody('', 503)).toMatchObject({ code: 'unavailable', message: 'The server answered 503.' });
  });

  it('name the field that is wrong, as a sentence', () => {
    const description = 'must have 1 to 80 characters';
    expect(sentence({ field: 'display_name', description })).toBe('Display name must have 1 to 80 characters.');
    expect(sentence({ field: 'room.name', description })).toBe('Name must have 1 to 80 characters.');
    expect(sentence({ field: 'text', description: 'Say something.' })).toBe('Say something.');
  });

  it('say what may pass by itself', () => {
    expect(new ApiError('unavailable', '').passing).toBe(true);
    expect(new ApiError('permission_denied', '').passing).toBe(false);
  });
});

describe('backoff', () => {
  it('has full jitter between half a second and thirty', () => {
    for (let attempt = 0; attempt < 40; attempt += 1) {
      expect(backoff(attempt, () => 0)).toBe(500);
      expect(backoff(attempt, () => 0.999999)).toBeLessThanOrEqual(30_000);
    }
    expect(backoff(30, () => 1)).toBe(30_000);
  });
});
