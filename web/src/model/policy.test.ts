import { describe, expect, it } from 'vitest';
import { type Asker, levelIn, rightsIn, whyNotPost } from './policy';
import { room } from './simulation';
import type { Room } from './types';

const asker = (role: Asker['role'], rank: Asker['rank'] = 'member'): Asker => ({ role, rank });

function ruled(permissions: Partial<Room['permissions']>, fields: Partial<Room> = {}): Room {
  const plain = room('r');
  return { ...plain, ...fields, permissions: { ...plain.permissions, ...permissions } };
}

describe('what somebody may do in a room', () => {
  it('is what its permissions give to their role', () => {
    const announcements = ruled({ post: 'moderator' });
    expect(rightsIn(announcements, asker('member')).post).toBe(false);
    expect(rightsIn(announcements, asker('moderator')).post).toBe(true);
    expect(whyNotPost(announcements, asker('member'))).toContain('moderators');
    expect(whyNotPost(announcements, asker('admin'))).toBe('');
    expect(rightsIn(ruled({}), asker('moderator'))).toMatchObject({ deleteOthers: true, edit: false, manage: false });
  });

  it('is little in an archived room, which can still be left empty or be opened again', () => {
    const archived = ruled({}, { archivedAt: 5 });
    const owner = rightsIn(archived, asker('owner'));
    expect(owner).toMatchObject({ post: false, deleteOwn: false, edit: false, addMembers: false, archive: true });
    expect(owner.remove('member')).toBe(true);
    expect(owner.promote('member')).toEqual([]);
    expect(whyNotPost(archived, asker('owner'))).toContain('archived');
  });

  it('lets webhooks in only by those who may change the room and post in it', () => {
    expect(rightsIn(ruled({}), asker('member'))).toMatchObject({ webhooks: false, addWebhook: false });
    expect(rightsIn(ruled({}), asker('admin'))).toMatchObject({ webhooks: true, addWebhook: true });
    const announcements = ruled({ editRoom: 'member', post: 'admin' });
    expect(rightsIn(announcements, asker('member'))).toMatchObject({ webhooks: true, addWebhook: false });
    const archived = ruled({}, { archivedAt: 5 });
    expect(rightsIn(archived, asker('owner'))).toMatchObject({ webhooks: true, addWebhook: false });
  });

  it('does not reach above the own role', () => {
    const admin = rightsIn(ruled({}), asker('admin'));
    expect(admin.promote('member')).toEqual(['admin', 'moderator']);
    expect(admin.promote('owner')).toEqual([]);
    expect(admin.remove('owner')).toBe(false);
    expect(admin.permit('member', 'owner')).toBe(false);
    expect(admin.permit('member', 'admin')).toBe(true);
    expect(rightsIn(ruled({}), asker('owner')).promote('owner')).toEqual(['admin', 'moderator', 'member']);
  });

  it('is at most what members may for guests, who bring nobody in', () => {
    const guest = rightsIn(ruled({}), asker('admin', 'guest'));
    expect(guest).toMatchObject({ post: true, edit: false, addMembers: false });
  });

  it('is more for those who run the workspace, in public rooms only', () => {
    expect(levelIn({ kind: 'public' }, asker('member', 'owner'))).toBe(4);
    expect(levelIn({ kind: 'public' }, asker('member', 'admin'))).toBe(3);
    expect(levelIn({ kind: 'private' }, asker('member', 'owner'))).toBe(1);
  });
});
