/**
 * What somebody may do in a room, as the server decides it: so that nothing is offered that would be refused. A level is
 * their role there, at most a member's for guests; in public rooms owners and admins of the workspace stand at least where
 * those of the room do.
 */
import { ROOM_ROLES, type Room, type RoomPermissions, type RoomRole, type WorkspaceRole } from './types';

export interface Asker {
  readonly role: RoomRole;
  readonly rank: WorkspaceRole;
}

export interface Rights {
  readonly post: boolean;
  readonly deleteOwn: boolean;
  readonly deleteOthers: boolean;
  readonly edit: boolean;
  /** History and permissions. */
  readonly manage: boolean;
  /** Archive, and the reverse. */
  readonly archive: boolean;
  readonly addMembers: boolean;
  /** See and delete incoming webhooks. */
  readonly webhooks: boolean;
  readonly addWebhook: boolean;
  /** Whether somebody with this role may be put out. */
  readonly remove: (theirs: RoomRole) => boolean;
  /** The roles that somebody with this one may be given. */
  readonly promote: (theirs: RoomRole) => readonly RoomRole[];
  /** Whether a permission that needs the first role may be changed to need the second. */
  readonly permit: (from: RoomRole, to: RoomRole) => boolean;
}

const LEVELS: Readonly<Record<RoomRole, number>> = { owner: 4, admin: 3, moderator: 2, member: 1 };

export function levelIn(room: Pick<Room, 'kind'>, { role, rank }: Asker): number {
  if (rank === 'guest') return Math.min(LEVELS[role], LEVELS.member);
  const inWorkspace = room.kind === 'public' && (rank === 'owner' || rank === 'admin') ? LEVELS[rank] : 0;
  return Math.max(LEVELS[role], inWorkspace);
}

export function rightsIn(room: Pick<Room, 'kind' | 'permissions' | 'archivedAt'>, asker: Asker): Rights {
  const mine = levelIn(room, asker);
  const open = room.archivedAt === 0;
  const holds = (permission: keyof RoomPermissions) => mine >= LEVELS[room.permissions[permission]];
  const admin = mine >= LEVELS.admin;
  return {
    post: open && holds('post'),
    deleteOwn: open,
    deleteOthers: open && holds('deleteMessages'),
    edit: open && holds('editRoom'),
    manage: open && admin,
    archive: admin,
    webhooks: holds('editRoom'),
    addWebhook: open && holds('editRoom') && holds('post'),
    addMembers: open && asker.rank !== 'guest' && holds('addMembers'),
    remove: (theirs) => holds('removeMembers') && mine >= LEVELS[theirs],
    promote: (theirs) =>
      open && admin && mine >= LEVELS[theirs]
        ? ROOM_ROLES.filter((role) => role !== theirs && LEVELS[role] <= mine)
        : [],
    permit: (from, to) => open && admin && mine >= LEVELS[from] && mine >= LEVELS[to],
  };
}

const WHO = {
  owner: 'owners of this room',
  admin: 'owners and admins of this room',
  moderator: 'owners, admins and moderators of this room',
  member: 'members',
} as const;

/** Why somebody cannot write here; empty when they can. */
export function whyNotPost(room: Room, asker: Asker): string {
  if (room.archivedAt > 0) return 'This room is archived: it can be read, and nothing else.';
  return rightsIn(room, asker).post ? '' : `Only ${WHO[room.permissions.post]} may post here.`;
}
