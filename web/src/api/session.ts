/** Signing in over HTTP. The browser keeps the cookie with the refresh token; scripts only ever hold access tokens. */
import { fromJson } from '@bufbuild/protobuf';
import { user as decodeUser } from '../model/decode';
import type { User } from '../model/types';
import { fromResponse, unavailable } from './errors';
import { UserSchema } from './gen/loquat/auth/v1/user_pb';

export interface Session {
  readonly accessToken: string;
  /** When the access token ends, by this machine's clock. */
  readonly expiresAt: number;
  readonly renewAt: number;
  readonly user: User;
}

export interface Registration {
  readonly username: string;
  readonly password: string;
  readonly displayName: string;
  readonly setupToken?: string;
  readonly inviteToken?: string;
  readonly email?: string;
}

async function post(path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  const request = { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(20_000) };
  const response = await fetch(path, request).catch(() => undefined);
  if (!response) throw unavailable('The server cannot be reached.');
  if (!response.ok) throw await fromResponse(response);
  return response;
}

async function started(response: Response): Promise<Session> {
  const document = await response.json();
  const lifetime = Number(document.expires_in) * 1000;
  const now = Date.now();
  return {
    accessToken: String(document.access_token),
    expiresAt: now + lifetime,
    renewAt: now + lifetime * 0.8,
    user: decodeUser(fromJson(UserSchema, document.user, { ignoreUnknownFields: true })),
  };
}

export async function register(registration: Registration): Promise<Session> {
  const { username, password, displayName, setupToken, inviteToken, email } = registration;
  const optional = Object.entries({ setup_token: setupToken, invite_token: inviteToken, email }).filter(
    ([, value]) => value,
  );
  const body = { username, password, display_name: displayName, ...Object.fromEntries(optional) };
  return started(await post('/session/register', body));
}

export async function login(username: string, password: string): Promise<Session> {
  return started(await post('/session/login', { username, password }));
}

/** Also how a page that was loaded anew finds out whether it is signed in. */
export async function refresh(): Promise<Session> {
  return started(await post('/session/refresh', {}));
}

export async function logout(): Promise<void> {
  await post('/session/logout', {});
}
