import { describe, expect, it } from 'vitest';
import { hex, type Invite, inviteState, mayManage, rolesToGive, rolesToInvite } from './admin';

describe('who may do what in the workspace', () => {
  it('owners manage everybody, administrators those below them, others nobody', () => {
    expect(mayManage('owner', 'owner')).toBe(true);
    expect(mayManage('admin', 'member')).toBe(true);
    expect(mayManage('admin', 'admin')).toBe(false);
    expect(mayManage('admin', 'owner')).toBe(false);
    expect(mayManage('member', 'guest')).toBe(false);
    expect(rolesToGive('admin')).toEqual(['member', 'guest']);
    expect(rolesToGive('guest')).toEqual([]);
  });

  it('nobody invites owners, and only owners invite administrators', () => {
    expect(rolesToInvite('owner')).toEqual(['member', 'guest', 'admin']);
    expect(rolesToInvite('admin')).toEqual(['member', 'guest']);
  });
});

describe('an invitation', () => {
  const made: Invite = {
    id: 'i',
    createdBy: 'u',
    createdAt: 1,
    expiresAt: 100,
    maxUses: 2,
    uses: 1,
    role: 'member',
    roomIds: [],
    revoked: false,
    note: '',
  };

  it('is open until it is revoked, over or used up', () => {
    expect(inviteState(made, 99)).toBe('open');
    expect(inviteState(made, 100)).toBe('over');
    expect(inviteState({ ...made, uses: 2 }, 99)).toBe('used-up');
    expect(inviteState({ ...made, uses: 2, revoked: true }, 99)).toBe('revoked');
    expect(inviteState({ ...made, expiresAt: 0, maxUses: 0, uses: 9 }, 1e9)).toBe('open');
  });
});

it('hashes are told as digits', () => {
  expect(hex(new Uint8Array([0, 15, 255]))).toBe('000fff');
});
