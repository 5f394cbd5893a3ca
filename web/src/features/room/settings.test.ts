import { describe, expect, it } from 'vitest';
import { Values } from '../../app/forms';
import { periods } from '../../model/retention';
import { room } from '../../model/simulation';
import { changesOf } from './RoomSettings';

function values(entries: Record<string, string>): Values {
  const data = new FormData();
  for (const [name, value] of Object.entries(entries)) data.append(name, value);
  return new Values(data);
}

const ALL = { edit: true, manage: true };

describe('the settings of a room', () => {
  it('send what was changed and nothing else', () => {
    const same = { name: 'kitchen', topic: '', history: 'all', post: 'member' };
    expect(changesOf(room('kitchen'), values(same), ALL)).toEqual({});
    const changed = { ...same, topic: 'Soup', history: 'since-joined', post: 'moderator' };
    expect(changesOf(room('kitchen'), values(changed), ALL)).toEqual({
      topic: 'Soup',
      history: 'since-joined',
      permissions: { post: 'moderator' },
    });
  });

  it('say for how long messages are kept', () => {
    const same = { name: 'kitchen', topic: '', history: 'all', post: 'member', retention_days: '0' };
    expect(changesOf(room('kitchen'), values(same), ALL)).toEqual({});
    expect(changesOf(room('kitchen'), values({ ...same, retention_days: '30' }), ALL)).toEqual({ retentionDays: 30 });
    const kept = { ...room('kitchen'), retentionDays: 45 };
    expect(changesOf(kept, values(same), ALL)).toEqual({ retentionDays: 0 });
    expect(periods(45, 0).map(([value]) => value)).toEqual(['0', '1', '7', '30', '45', '90', '180', '365', '1095']);
    expect(periods(0, 90)[0]).toEqual(['0', 'As everywhere here (90 days)']);
  });

  it('leave alone what may not be changed, whose fields are disabled and have no value', () => {
    expect(changesOf(room('kitchen'), values({ post: 'admin' }), { edit: false, manage: true })).toEqual({
      permissions: { post: 'admin' },
    });
    expect(changesOf(room('kitchen'), values({ name: 'x', topic: '' }), { edit: true, manage: false })).toEqual({
      name: 'x',
    });
  });
});
