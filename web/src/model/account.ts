/** An account's own affairs, as plain data: where it is signed in, and the tokens of its programs. */
import type { Session as WireSession } from '../api/gen/loquat/auth/v1/session_service_pb';
import type { AccessToken as WireToken } from '../api/gen/loquat/auth/v1/token_service_pb';
import { millis } from './decode';

export interface SessionInfo {
  readonly id: string;
  readonly device: string;
  readonly address: string;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly current: boolean;
}

export interface AccessToken {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: number;
  /** 0 for never. */
  readonly expiresAt: number;
  /** 0 when it was not used yet. */
  readonly lastUsedAt: number;
  readonly lastAddress: string;
}

export interface NewToken {
  readonly token: AccessToken | undefined;
  readonly secret: string;
}

export interface TokenWish {
  readonly name: string;
  readonly scopes: readonly string[];
  /** 0 for never. */
  readonly days: number;
}

/** What a token may be good for, in the order in which it is offered. */
export const SCOPES = [
  ['messages:read', 'Read messages', 'Messages, their log and the live stream.'],
  ['messages:write', 'Write messages', 'Send, edit and delete.'],
  ['rooms:read', 'See rooms', 'Rooms and who is in them.'],
  ['rooms:write', 'Manage rooms', 'Make, join, leave and change rooms.'],
  ['files:read', 'Fetch files', 'Downloads.'],
  ['files:write', 'Share files', 'Uploads.'],
  ['users:read', 'See people', 'The directory and the own account.'],
  ['users:write', 'Change the profile', 'The own one only.'],
  ['admin:read', 'See administration', 'Accounts, invitations, bots, audit and jobs.'],
  ['admin:write', 'Administer', 'Change all of these.'],
] as const;

export function sessionInfo(from: WireSession): SessionInfo {
  const { id, device, address, current } = from;
  return { id, device, address, current, createdAt: millis(from.createdAt), lastUsedAt: millis(from.lastUsedAt) };
}

export function accessToken(from: WireToken): AccessToken {
  const { id, name, scopes, lastAddress } = from;
  const times = { createdAt: millis(from.createdAt), expiresAt: millis(from.expiresAt) };
  return { id, name, scopes, lastAddress, ...times, lastUsedAt: millis(from.lastUsedAt) };
}

const BROWSERS = [
  [/\bEdgA?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bChrome\/|\bChromium\/|\bCriOS\/|\bHeadlessChrome\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
] as const;
const SYSTEMS = [
  [/\bAndroid\b/, 'Android'],
  [/\biPhone\b|\biPad\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b|\bX11\b/, 'Linux'],
] as const;

/** A user agent in words, such as `Firefox on Linux`; what a client called itself stays. */
export function deviceName(device: string): string {
  if (!device) return 'Unknown device';
  const browser = BROWSERS.find(([pattern]) => pattern.test(device))?.[1];
  const system = SYSTEMS.find(([pattern]) => pattern.test(device))?.[1];
  if (!device.includes('Mozilla/')) return device;
  return [browser ?? 'Browser', system].filter(Boolean).join(' on ');
}
