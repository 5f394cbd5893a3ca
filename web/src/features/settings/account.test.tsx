import { act } from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../../api/errors';
import type { Account } from '../../app/account';
import { cell } from '../../app/store';
import { toasts } from '../../app/toasts';
import type { AccessToken } from '../../model/account';
import type { User } from '../../model/types';
import { Drawn } from '../shared/drawn';
import { Security } from './Security';
import { Sessions } from './Sessions';
import { Tokens } from './Tokens';

const ME: User = {
  id: 'me',
  username: 'ann',
  displayName: 'Ann',
  role: 'member',
  bot: false,
  disabled: false,
  title: '',
  about: '',
  avatarFileId: '',
};

let drawn: Drawn | undefined;
afterEach(async () => {
  await drawn?.end();
  toasts.set([]);
});

function screen(account: Partial<Account>): Drawn {
  const directory = { users: cell({ me: ME }), want() {}, learn() {} };
  drawn = new Drawn({ me: ME, account: account as Account, directory });
  return drawn;
}

async function submit(form: HTMLElement | null | undefined): Promise<void> {
  await act(async () => {
    form?.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
  });
}

describe('passwords', () => {
  it('that are wrong are told at their field, and so are new ones that are too short', async () => {
    const wrong = new ApiError('unauthenticated', 'That is not your password.', 'BAD_CREDENTIALS');
    const field = { field: 'new_password', description: 'must have 8 to 1024 bytes' };
    const changePassword = vi
      .fn()
      .mockRejectedValueOnce(wrong)
      .mockRejectedValueOnce(new ApiError('invalid_argument', 'The request is not valid.', 'INVALID_REQUEST', [field]))
      .mockResolvedValueOnce(2);
    const shown = screen({ changePassword, me: async () => ({ user: ME, email: '', mentionMail: true }) });
    await shown.draw(<Security />);
    const note = (testId: string) => {
      const id = shown.get(testId)?.getAttribute('aria-describedby');
      return id ? document.getElementById(id)?.textContent : undefined;
    };
    await submit(shown.get('password-form'));
    expect(shown.get('current-password')?.getAttribute('aria-invalid')).toBe('true');
    expect(note('current-password')).toBe('That is not your password.');
    await submit(shown.get('password-form'));
    expect(shown.get('current-password')?.getAttribute('aria-invalid')).toBeNull();
    expect(note('new-password')).toBe('New password must have 8 to 1024 bytes.');
    await submit(shown.get('password-form'));
    expect(toasts.get().map(({ text }) => text)).toEqual(['Your password is changed. 2 other sessions were ended.']);
  });
});

describe('sessions', () => {
  it('can be ended, except the own one', async () => {
    const plain = { address: '203.0.113.7', createdAt: 1, lastUsedAt: 1 };
    let all = [
      { ...plain, id: 's1', device: 'Kitchen', current: true },
      { ...plain, id: 's2', device: 'Cellar', current: false },
    ];
    const endSession = vi.fn(async (id: string) => {
      all = all.filter((session) => session.id !== id);
    });
    const shown = screen({ sessions: async () => all, endSession });
    await shown.draw(<Sessions />);
    expect(shown.all('session-item')).toHaveLength(2);
    expect(shown.all('end-session')).toHaveLength(1);
    await shown.click('end-session');
    expect(endSession).toHaveBeenCalledWith('s2');
    expect(shown.all('session-item').map((item) => item.dataset.current)).toEqual(['true']);
    expect(shown.get('end-other-sessions')).toBeNull();
  });
});

describe('access tokens', () => {
  it('show their secret once, and scopes of administration to those who administer only', async () => {
    const made: AccessToken = {
      id: 't1',
      name: 'script',
      scopes: ['users:read'],
      createdAt: 1,
      expiresAt: 0,
      lastUsedAt: 0,
      lastAddress: '',
    };
    let all: AccessToken[] = [];
    const createToken = vi.fn(async () => {
      all = [made];
      return { token: made, secret: 'loquat_pat_secret' };
    });
    const shown = screen({ tokens: async () => all, createToken });
    await shown.draw(<Tokens />);
    expect(shown.get('empty')).not.toBeNull();
    await shown.click('token-new');
    const scopes = [...document.querySelectorAll<HTMLInputElement>('input[name=scopes]')];
    expect(scopes.map(({ value }) => value).filter((scope) => scope.startsWith('admin:'))).toEqual([]);
    await act(async () => scopes.find(({ value }) => value === 'users:read')?.click());
    await submit(shown.get('token-dialog')?.querySelector('form'));
    expect(createToken).toHaveBeenCalledWith({ name: '', scopes: ['users:read'], days: 90 });
    expect((shown.get('token-secret-value') as HTMLInputElement).value).toBe('loquat_pat_secret');
    await shown.click('token-secret-done');
    expect(shown.get('token-secret')).toBeNull();
    expect(shown.text('token-item')).toContain('ends never');
  });
});
