/** What administrators see, as plain data, and what they may do. */
import type { AdminUser as WireAdminUser } from '../api/gen/loquat/auth/v1/admin_service_pb';
import type { AuditEntry as WireAuditEntry } from '../api/gen/loquat/auth/v1/audit_service_pb';
import type { Invite as WireInvite } from '../api/gen/loquat/auth/v1/invite_service_pb';
import { WorkspaceRole as WireRole } from '../api/gen/loquat/auth/v1/user_pb';
import { millis, user, workspaceRole } from './decode';
import type { User, WorkspaceRole } from './types';

export interface AdminUser {
  readonly user: User;
  readonly email: string;
  readonly sessions: number;
  /** 0 for never. */
  readonly lastUsedAt: number;
}

export interface Invite {
  readonly id: string;
  readonly createdBy: string;
  readonly createdAt: number;
  /** 0 for never. */
  readonly expiresAt: number;
  /** 0 for any number. */
  readonly maxUses: number;
  readonly uses: number;
  readonly role: WorkspaceRole;
  readonly roomIds: readonly string[];
  readonly revoked: boolean;
  readonly note: string;
}

export interface InviteWish {
  readonly expiresInSeconds: number;
  readonly maxUses: number;
  readonly role: WorkspaceRole;
  readonly roomIds: readonly string[];
  readonly note: string;
}

export interface AuditEntry {
  readonly seq: number;
  readonly at: number;
  readonly actorId: string;
  readonly action: string;
  readonly subjectId: string;
  readonly details: readonly (readonly [string, string])[];
  readonly address: string;
  readonly trace: string;
  readonly hash: string;
}

/** What was done to accounts, to rooms, and to queues, jobs and outgoing webhooks. */
export type AuditLog = 'accounts' | 'rooms' | 'jobs';

export interface AuditFilter {
  readonly actorId: string;
  readonly subjectId: string;
  readonly action: string;
}

export interface Verdict {
  readonly intact: boolean;
  readonly firstBrokenSeq: number;
  readonly entries: number;
  readonly headSeq: number;
  readonly headHash: string;
}

export const WIRE_ROLES: Readonly<Record<WorkspaceRole, WireRole>> = {
  owner: WireRole.OWNER,
  admin: WireRole.ADMIN,
  member: WireRole.MEMBER,
  guest: WireRole.GUEST,
};

export const ROLE_NAMES = { owner: 'Owner', admin: 'Administrator', member: 'Member', guest: 'Guest' } as const;

export function administers(role: WorkspaceRole): boolean {
  return role === 'owner' || role === 'admin';
}

/** Administrators manage members and guests, owners everybody. */
export function mayManage(mine: WorkspaceRole, theirs: WorkspaceRole): boolean {
  return mine === 'owner' || (mine === 'admin' && !administers(theirs));
}

/** The roles that somebody of this role may give to an account. */
export function rolesToGive(mine: WorkspaceRole): readonly WorkspaceRole[] {
  if (mine === 'owner') return ['owner', 'admin', 'member', 'guest'];
  return mine === 'admin' ? ['member', 'guest'] : [];
}

/** Nobody invites owners or makes them of bots. */
export function rolesToInvite(mine: WorkspaceRole): readonly WorkspaceRole[] {
  const roles = rolesToGive(mine).filter((role) => role !== 'owner');
  return roles.sort((a, b) => Number(a === 'admin') - Number(b === 'admin'));
}

export type InviteState = 'open' | 'revoked' | 'over' | 'used-up';

export function inviteState(invite: Invite, now: number): InviteState {
  if (invite.revoked) return 'revoked';
  if (invite.expiresAt > 0 && invite.expiresAt <= now) return 'over';
  return invite.maxUses > 0 && invite.uses >= invite.maxUses ? 'used-up' : 'open';
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function adminUser(from: WireAdminUser): AdminUser[] {
  if (!from.user) return [];
  const { email, sessions, lastUsedAt } = from;
  return [{ user: user(from.user), email, sessions, lastUsedAt: millis(lastUsedAt) }];
}

export function invite(from: WireInvite): Invite {
  const { id, createdBy, maxUses, uses, revoked, note } = from;
  const times = { createdAt: millis(from.createdAt), expiresAt: millis(from.expiresAt) };
  const roomIds = from.rooms.map(({ roomId }) => roomId);
  return { id, createdBy, maxUses, uses, revoked, note, roomIds, role: workspaceRole(from.role), ...times };
}

export function auditEntry(from: WireAuditEntry): AuditEntry {
  const { actorId, action, subjectId, address, trace } = from;
  const details = Object.entries(from.details).sort(([a], [b]) => a.localeCompare(b));
  const own = { seq: Number(from.seq), at: millis(from.at), hash: hex(from.hash) };
  return { actorId, action, subjectId, address, trace, details, ...own };
}
