/** A failed call as the server told it, whichever way it came. */
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './gen/google/rpc/error_details_pb';
import type { Status } from './gen/google/rpc/status_pb';

/** The names of the gRPC codes, by number. */
const CODES = [
  'ok',
  'canceled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
] as const;

export type Code = (typeof CODES)[number];

export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** Codes after which the same call may succeed without any change. */
const PASSING: readonly Code[] = ['unavailable', 'deadline_exceeded', 'aborted', 'resource_exhausted', 'canceled'];

export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly code: Code,
    message: string,
    readonly reason = '',
    readonly violations: readonly Violation[] = [],
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }

  /** Whether trying again later makes sense. */
  get passing(): boolean {
    return PASSING.includes(this.code);
  }
}

export function unavailable(message: string): ApiError {
  return new ApiError('unavailable', message, 'CONNECTION');
}

export function fromStatus(status: Status | undefined): ApiError {
  const code = CODES[status?.code ?? 2] ?? 'unknown';
  let reason = '';
  let retryAfterMs = 0;
  const violations: Violation[] = [];
  for (const detail of status?.details ?? []) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info) reason = info.reason;
    const bad = anyUnpack(detail, BadRequestSchema);
    for (const { field, description } of bad?.fieldViolations ?? []) violations.push({ field, description });
    const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
    if (delay) retryAfterMs = Number(delay.seconds) * 1000 + Math.floor(delay.nanos / 1e6);
  }
  return new ApiError(code, status?.message || 'The server could not answer.', reason, violations, retryAfterMs);
}

/** A violation as a sentence: the server names the field and says what it must be. */
export function sentence({ field, description }: Violation): string {
  const name = field.split('.').at(-1)?.replaceAll('_', ' ') ?? '';
  const whole = /^\p{Lu}/u.test(description) ? description : `${name} ${description}`.trim();
  const text = whole.charAt(0).toLocaleUpperCase() + whole.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** What people are told: the server's own words, with the fields that are wrong. */
export function describeError(cause: unknown): string {
  if (!(cause instanceof ApiError)) return cause instanceof Error ? cause.message : 'Something went wrong.';
  const details = cause.violations.filter(({ description }) => description);
  return details.length > 0 ? details.map(sentence).join(' ') : cause.message;
}

interface ErrorDocument {
  code?: string;
  reason?: string;
  message?: string;
  violations?: Violation[];
  retry_after_ms?: number;
}

function fromDocument(document: ErrorDocument | undefined, status: number): ApiError {
  const fallback: Code = status >= 500 ? 'unavailable' : status === 401 ? 'unauthenticated' : 'unknown';
  const code = CODES.find((known) => known === document?.code) ?? fallback;
  const message = document?.message || `The server answered ${status}.`;
  return new ApiError(code, message, document?.reason, document?.violations, document?.retry_after_ms);
}

/** The error of an HTTP answer; bodies that are not ours (a proxy's page) count as unavailable from status 500 on. */
export async function fromResponse(response: Response): Promise<ApiError> {
  const document = (await response.json().catch(() => undefined)) as ErrorDocument | undefined;
  return fromDocument(document, response.status);
}

/** The same where the body is there already. */
export function fromBody(body: string, status: number): ApiError {
  try {
    return fromDocument(JSON.parse(body) as ErrorDocument, status);
  } catch {
    return fromDocument(undefined, status);
  }
}
