import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Session } from '../api/session';
import { Tokens } from './tokens';

const USER = {
  id: 'me',
  username: 'me',
  displayName: 'Me',
  role: 'member',
  bot: false,
  disabled: false,
  title: '',
  about: '',
  avatarFileId: '',
} as const;
const LIFETIME_MS = 600_000;

function session(accessToken: string): Session {
  const now = Date.now();
  return { accessToken, expiresAt: now + LIFETIME_MS, renewAt: now + LIFETIME_MS * 0.8, user: USER };
}

function answers(...responses: [number, unknown][]) {
  const fetch = vi.fn();
  for (const [status, body] of responses) {
    fetch.mockImplementationOnce(async () => new Response(JSON.stringify(body), { status }));
  }
  vi.stubGlobal('fetch', fetch);
  return fetch;
}

const renewed = (accessToken: string) => ({ access_token: accessToken, expires_in: 600, user: { id: 'me' } });

describe('tokens', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('are renewed when four fifths of their life are over, again and again', async () => {
    const fetch = answers([200, renewed('second')], [200, renewed('third')]);
    const told: string[] = [];
    const tokens = new Tokens(session('first'), ({ accessToken }) => told.push(accessToken), vi.fn());
    await vi.advanceTimersByTimeAsync(LIFETIME_MS * 0.8 - 1);
    expect(await tokens.token()).toBe('first');
    expect(fetch).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(LIFETIME_MS * 0.8 + 1);
    expect(told).toEqual(['second', 'third']);
    tokens.stop();
  });

  it('are asked for once by callers at the same time', async () => {
    const fetch = answers([200, renewed('second')]);
    const tokens = new Tokens(session('first'), vi.fn(), vi.fn());
    await Promise.all([tokens.renew(), tokens.renew()]);
    expect(fetch).toHaveBeenCalledOnce();
    tokens.stop();
  });

  it('end when the server says that the session has ended, and not when it is away', async () => {
    answers([503, {}], [401, { code: 'unauthenticated', message: 'The session has ended.' }]);
    const ended = vi.fn();
    const tokens = new Tokens(session('first'), vi.fn(), ended);
    await expect(tokens.renew()).rejects.toMatchObject({ code: 'unavailable' });
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(ended).toHaveBeenCalledOnce();
    tokens.stop();
  });
});
