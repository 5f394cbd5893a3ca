/** What administrators can do, as calls. */
import type { Call } from '../api/client';
import { AdminService } from '../api/gen/loquat/auth/v1/admin_service_pb';
import { AuditService } from '../api/gen/loquat/auth/v1/audit_service_pb';
import { BotService } from '../api/gen/loquat/auth/v1/bot_service_pb';
import { InviteService } from '../api/gen/loquat/auth/v1/invite_service_pb';
import { AuditService as RoomAuditService } from '../api/gen/loquat/chat/v1/audit_service_pb';
import { AuditService as JobAuditService } from '../api/gen/loquat/worker/v1/audit_service_pb';
import { type AccessToken, accessToken, type NewToken, type TokenWish } from '../model/account';
import {
  type AdminUser,
  type AuditEntry,
  type AuditFilter,
  type AuditLog,
  adminUser,
  auditEntry,
  hex,
  type Invite,
  type InviteWish,
  invite,
  type Verdict,
  WIRE_ROLES,
} from '../model/admin';
import * as decode from '../model/decode';
import type { User, WorkspaceRole } from '../model/types';
import type { Page } from './loading';

export interface Admin {
  users(query: string, from?: string): Promise<Page<AdminUser, string>>;
  setRole(userId: string, role: WorkspaceRole): Promise<User | undefined>;
  setDisabled(userId: string, disabled: boolean): Promise<User | undefined>;
  endSessions(userId: string): Promise<number>;
  invites(from?: string): Promise<Page<Invite, string>>;
  /** The link, with its token: told once. */
  createInvite(wish: InviteWish): Promise<string>;
  revokeInvite(inviteId: string): Promise<void>;
  bots(from?: string): Promise<Page<User, string>>;
  createBot(username: string, displayName: string, role: WorkspaceRole): Promise<void>;
  setBotDisabled(botId: string, disabled: boolean): Promise<User | undefined>;
  botTokens(botId: string): Promise<readonly AccessToken[]>;
  createBotToken(botId: string, wish: TokenWish): Promise<NewToken>;
  revokeBotToken(botId: string, tokenId: string): Promise<void>;
  audit(log: AuditLog, filter: AuditFilter, before?: bigint): Promise<Page<AuditEntry, bigint>>;
  verify(log: AuditLog): Promise<Verdict>;
}

/** Without `public_url` the server only knows the path of a link. */
export function absolute(link: string, origin: string): string {
  return link.startsWith('/') ? origin + link : link;
}

export function adminOver(call: Call, learn: (users: readonly User[]) => void): Admin {
  // What makes something is not made again when the connection breaks: nobody would have seen the first one's secret.
  const once = { keep: false };
  const known = (user: Parameters<typeof decode.user>[0] | undefined): User | undefined => {
    if (!user) return undefined;
    const decoded = decode.user(user);
    learn([decoded]);
    return decoded;
  };
  return {
    ...accountsOver(call, known),
    ...invitesOver(call, once),
    ...botsOver(call, known, once),
    ...auditOver(call),
  };
}

type Known = (user: Parameters<typeof decode.user>[0] | undefined) => User | undefined;
type Once = { readonly keep: boolean };

function accountsOver(call: Call, known: Known): Pick<Admin, 'users' | 'setRole' | 'setDisabled' | 'endSessions'> {
  const { listUsers, setUserRole, disableUser, enableUser, revokeUserSessions } = AdminService.method;
  return {
    async users(query, from) {
      const { users, nextPageToken } = await call(listUsers, { query, pageToken: from });
      for (const { user } of users) known(user);
      return { items: users.flatMap(adminUser), next: nextPageToken || undefined };
    },
    async setRole(userId, role) {
      return known((await call(setUserRole, { userId, role: WIRE_ROLES[role] })).user);
    },
    async setDisabled(userId, disabled) {
      const { user } = disabled ? await call(disableUser, { userId }) : await call(enableUser, { userId });
      return known(user);
    },
    async endSessions(userId) {
      return (await call(revokeUserSessions, { userId })).endedSessions;
    },
  };
}

function invitesOver(call: Call, once: Once): Pick<Admin, 'invites' | 'createInvite' | 'revokeInvite'> {
  const { listInvites, createInvite, revokeInvite } = InviteService.method;
  return {
    async invites(from) {
      const { invites, nextPageToken } = await call(listInvites, { pageToken: from });
      return { items: invites.map(invite), next: nextPageToken || undefined };
    },
    async createInvite({ role, roomIds, ...rest }) {
      const rooms = roomIds.map((roomId) => ({ roomId }));
      const { link } = await call(createInvite, { ...rest, rooms, role: WIRE_ROLES[role] }, once);
      return absolute(link, location.origin);
    },
    async revokeInvite(inviteId) {
      await call(revokeInvite, { inviteId });
    },
  };
}

type Bots = 'bots' | 'createBot' | 'setBotDisabled' | 'botTokens' | 'createBotToken' | 'revokeBotToken';

function botsOver(call: Call, known: Known, once: Once): Pick<Admin, Bots> {
  const { listBots, createBot, disableBot, enableBot, ...tokens } = BotService.method;
  return {
    async bots(from) {
      const { bots, nextPageToken } = await call(listBots, { pageToken: from });
      return { items: bots.flatMap((bot) => known(bot) ?? []), next: nextPageToken || undefined };
    },
    async createBot(username, displayName, role) {
      known((await call(createBot, { username, displayName, role: WIRE_ROLES[role] }, once)).bot);
    },
    async setBotDisabled(botId, disabled) {
      const { bot } = disabled ? await call(disableBot, { botId }) : await call(enableBot, { botId });
      return known(bot);
    },
    async botTokens(botId) {
      return (await call(tokens.listBotTokens, { botId })).tokens.map(accessToken);
    },
    async createBotToken(botId, { name, scopes, days }) {
      const request = { botId, name, scopes: [...scopes], expiresInDays: days };
      const { token, secret } = await call(tokens.createBotToken, request, once);
      return { token: token && accessToken(token), secret };
    },
    async revokeBotToken(botId, tokenId) {
      await call(tokens.revokeBotToken, { botId, tokenId });
    },
  };
}

/** Each service keeps its own log; they are asked and answer alike. */
function auditOver(call: Call): Pick<Admin, 'audit' | 'verify'> {
  const [accounts, rooms, jobs] = [AuditService.method, RoomAuditService.method, JobAuditService.method];
  const verifying = {
    accounts: () => call(accounts.verify, {}),
    rooms: () => call(rooms.verify, {}),
    jobs: () => call(jobs.verify, {}),
  };
  return {
    async audit(log, { actorId, subjectId, action }, before) {
      const filter = { actorId, action, beforeSeq: before };
      const listing = {
        accounts: () => call(accounts.list, { ...filter, subjectId }),
        rooms: () => call(rooms.list, { ...filter, roomId: subjectId }),
        jobs: () => call(jobs.list, { ...filter, subjectId }),
      };
      const { entries, nextBeforeSeq } = await listing[log]();
      return { items: entries.map(auditEntry), next: nextBeforeSeq || undefined };
    },
    async verify(log) {
      const { intact, firstBrokenSeq, entries, headSeq, headHash } = await verifying[log]();
      const numbers = { firstBrokenSeq: Number(firstBrokenSeq), entries: Number(entries), headSeq: Number(headSeq) };
      return { intact, ...numbers, headHash: hex(headHash) };
    },
  };
}
