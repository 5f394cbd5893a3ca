import { describe, expect, it } from 'vitest';
import { parseRoute, pathOf, type Route } from './route';

describe('addresses', () => {
  it('name the page, and what is wrong leads to something that is there', () => {
    expect(parseRoute('/', '')).toEqual({ page: 'rooms' });
    expect(parseRoute('/r/abc', '')).toEqual({ page: 'rooms', roomId: 'abc' });
    expect(parseRoute('/settings', '')).toEqual({ page: 'settings', tab: 'profile' });
    expect(parseRoute('/admin/audit', '')).toEqual({ page: 'admin', tab: 'audit' });
    expect(parseRoute('/admin/nonsense', '')).toEqual({ page: 'admin', tab: 'users' });
    expect(parseRoute('/elsewhere/else', '')).toEqual({ page: 'rooms' });
  });

  it('of links hold their token behind the hash', () => {
    expect(parseRoute('/invite', '#abc_-1')).toEqual({ page: 'invite', token: 'abc_-1' });
    expect(parseRoute('/reset', '#token=abc')).toEqual({ page: 'reset', token: 'abc' });
  });

  it('come back as they were made, without any token', () => {
    const routes: Route[] = [
      { page: 'rooms', roomId: 'x' },
      { page: 'settings', tab: 'tokens' },
      { page: 'admin', tab: 'jobs' },
    ];
    for (const route of routes) expect(parseRoute(pathOf(route), '')).toEqual(route);
    expect(pathOf({ page: 'invite', token: 'secret' })).toBe('/invite');
  });
});
