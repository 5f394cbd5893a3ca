import { create, type DescMethodUnary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import type { Call } from '../api/client';
import { ListUsersResponseSchema } from '../api/gen/loquat/auth/v1/admin_service_pb';
import { AuditServiceListResponseSchema } from '../api/gen/loquat/auth/v1/audit_service_pb';
import { CreateInviteResponseSchema } from '../api/gen/loquat/auth/v1/invite_service_pb';
import { WorkspaceRole } from '../api/gen/loquat/auth/v1/user_pb';
import { AuditServiceListResponseSchema as RoomAuditListResponseSchema } from '../api/gen/loquat/chat/v1/audit_service_pb';
import { AuditServiceListResponseSchema as JobAuditListResponseSchema } from '../api/gen/loquat/worker/v1/audit_service_pb';
import type { User } from '../model/types';
import { absolute, adminOver } from './admin';

/** A server that answers by method, and what it was asked. */
function world(answers: Record<string, unknown>) {
  const asked: [string, unknown][] = [];
  const call = (async (method: DescMethodUnary, request: unknown) => {
    asked.push([method.name, request]);
    return answers[method.name];
  }) as unknown as Call;
  const learned: User[] = [];
  return { admin: adminOver(call, (users) => learned.push(...users)), asked, learned };
}

describe('administration', () => {
  it('lists accounts page by page, and lets the directory know of them', async () => {
    const user = { id: 'u1', username: 'ann', role: WorkspaceRole.ADMIN };
    const lastUsedAt = timestampFromMs(5000);
    const page = create(ListUsersResponseSchema, { users: [{ user, sessions: 2, lastUsedAt }], nextPageToken: 'more' });
    const { admin, learned, asked } = world({ ListUsers: page });
    const { items, next } = await admin.users('an', 'here');
    expect(next).toBe('more');
    expect(items).toMatchObject([
      { user: { id: 'u1', role: 'admin', displayName: 'ann' }, sessions: 2, lastUsedAt: 5000 },
    ]);
    expect(learned.map(({ id }) => id)).toEqual(['u1']);
    expect(asked).toEqual([['ListUsers', { query: 'an', pageToken: 'here' }]]);
  });

  it('ends at the last page', async () => {
    const { admin } = world({
      List: create(AuditServiceListResponseSchema, { entries: [{ seq: 1n, action: 'a.b' }] }),
    });
    const { items, next } = await admin.audit('accounts', { actorId: '', subjectId: '', action: '' });
    expect(next).toBeUndefined();
    expect(items).toMatchObject([{ seq: 1, action: 'a.b', hash: '' }]);
  });

  it('asks the log of rooms for a room', async () => {
    const { admin, asked } = world({ List: create(RoomAuditListResponseSchema, { nextBeforeSeq: 5n }) });
    const { next } = await admin.audit('rooms', { actorId: 'u1', subjectId: 'r1', action: 'member.' }, 9n);
    expect(next).toBe(5n);
    expect(asked).toEqual([['List', { actorId: 'u1', roomId: 'r1', action: 'member.', beforeSeq: 9n }]]);
  });

  it('asks the log of jobs for whatever it was done to', async () => {
    const { admin, asked } = world({ List: create(JobAuditListResponseSchema, { entries: [{ seq: 3n }] }) });
    const { items } = await admin.audit('jobs', { actorId: '', subjectId: 'forget-deliveries', action: 'job.' });
    expect(items).toMatchObject([{ seq: 3 }]);
    expect(asked[0]?.[1]).toMatchObject({ subjectId: 'forget-deliveries', action: 'job.' });
  });

  it('makes links that can be passed on', async () => {
    const { admin, asked } = world({ CreateInvite: create(CreateInviteResponseSchema, { link: '/invite#abc' }) });
    const wish = { expiresInSeconds: 60, maxUses: 1, role: 'guest', roomIds: ['r1'], note: 'n' } as const;
    expect(await admin.createInvite(wish)).toBe(`${location.origin}/invite#abc`);
    expect(asked[0]?.[1]).toMatchObject({ role: WorkspaceRole.GUEST, rooms: [{ roomId: 'r1' }], maxUses: 1 });
    expect(absolute('https://chat.example.org/invite#abc', 'http://x')).toBe('https://chat.example.org/invite#abc');
  });
});
