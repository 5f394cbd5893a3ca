/** The address of the page: `/` or `/r/ROOM_ID`. */
import { cell } from './store';

function read(): string | undefined {
  return /^\/r\/([^/]+)$/.exec(location.pathname)?.[1];
}

export const openRoomId = cell<string | undefined>(read());

export function openRoom(roomId: string | undefined, replace = false): void {
  const path = roomId ? `/r/${roomId}` : '/';
  if (path !== location.pathname) {
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
  }
  openRoomId.set(roomId);
}

export function followHistory(): void {
  addEventListener('popstate', () => openRoomId.set(read()));
}
