/** The address of the page: a room, one's settings, what administrators see, or the page behind a link that was sent. */
import { cell } from './store';

export const SETTINGS_TABS = ['profile', 'security', 'sessions', 'tokens', 'storage'] as const;
export const ADMIN_TABS = ['users', 'invites', 'bots', 'audit', 'jobs', 'webhooks', 'storage'] as const;
export type SettingsTab = (typeof SETTINGS_TABS)[number];
export type AdminTab = (typeof ADMIN_TABS)[number];

export type Route =
  | { readonly page: 'rooms'; readonly roomId?: string }
  | { readonly page: 'settings'; readonly tab: SettingsTab }
  | { readonly page: 'admin'; readonly tab: AdminTab }
  /** The token of a link stands behind a hash, so that it is in no log. */
  | { readonly page: 'invite'; readonly token: string }
  | { readonly page: 'reset'; readonly token: string };

function oneOf<T extends string>(known: readonly T[], wanted: string | undefined): T {
  return known.find((name) => name === wanted) ?? (known[0] as T);
}

/** An address that is not known leads to the rooms. */
export function parseRoute(path: string, hash: string): Route {
  const [page, rest] = path.split('/').filter(Boolean);
  const behindHash = decodeURIComponent(hash.replace(/^#/, ''));
  switch (page) {
    case 'r':
      return { page: 'rooms', roomId: rest };
    case 'settings':
      return { page, tab: oneOf(SETTINGS_TABS, rest) };
    case 'admin':
      return { page, tab: oneOf(ADMIN_TABS, rest) };
    case 'invite':
      return { page, token: behindHash };
    case 'reset':
      return { page, token: behindHash.replace(/^token=/, '') };
    default:
      return { page: 'rooms' };
  }
}

export function pathOf(route: Route): string {
  switch (route.page) {
    case 'rooms':
      return route.roomId ? `/r/${route.roomId}` : '/';
    case 'settings':
    case 'admin':
      return `/${route.page}/${route.tab}`;
    case 'invite':
    case 'reset':
      return `/${route.page}`;
  }
}

function read(): Route {
  return parseRoute(location.pathname, location.hash);
}

export const route = cell<Route>(read());

export function go(to: Route, replace = false): void {
  const path = pathOf(to);
  if (path !== location.pathname || location.hash) {
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
  }
  route.set(to);
}

export function openRoom(roomId: string | undefined, replace = false): void {
  go({ page: 'rooms', roomId }, replace);
}

export function followHistory(): void {
  for (const type of ['popstate', 'hashchange']) addEventListener(type, () => route.set(read()));
}
