/** The screen of somebody who is signed in. */
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { AcceptInvite } from '../features/auth/AcceptInvite';
import { Banner } from '../features/connection/Banner';
import { type RoomPanel, RoomView } from '../features/room/RoomView';
import { BrowseRooms } from '../features/sidebar/BrowseRooms';
import { CreateRoom } from '../features/sidebar/CreateRoom';
import { RoomSwitcher } from '../features/sidebar/RoomSwitcher';
import { Sidebar } from '../features/sidebar/Sidebar';
import { roomsByName, unread } from '../model/selectors';
import type { State } from '../model/state';
import { cx } from '../ui/cx';
import { focused, shown } from './focus';
import { useCell, useEngine, useKey, useModel } from './hooks';
import { NoRoom } from './NoRoom';
import { openRoom, type Route, route } from './route';

// Seldom opened: fetched when they are.
const SettingsPage = lazy(async () => ({
  default: (await import('../features/settings/SettingsPage')).SettingsPage,
}));

const AdminPage = lazy(async () => ({ default: (await import('../features/admin/AdminPage')).AdminPage }));

/** A room on the screen is being read: it does not count. */
function unreadElsewhere(state: State, roomId: string | undefined, looking: boolean): number {
  const rooms = Object.keys(state.rooms).filter((id) => !(looking && id === roomId));
  return rooms.reduce((sum, id) => sum + unread(state, id), 0);
}

function useTitle(roomId: string | undefined): void {
  const looking = useCell(focused);
  const count = useModel((state) => unreadElsewhere(state, roomId, looking));
  const name = useModel((state) => (roomId ? state.rooms[roomId]?.room.name : undefined));
  useEffect(() => {
    document.title = `${count > 0 ? `(${count}) ` : ''}${name ? `${name} · ` : ''}Loquat`;
  }, [count, name]);
}

/** Nothing open: the first room that has something new, else the first. */
function useFirstRoom({ page, roomId }: { page: Route['page']; roomId?: string }): void {
  const { state } = useEngine();
  const caughtUp = useModel((now) => now.caughtUp);
  useEffect(() => {
    if (page !== 'rooms' || roomId || !caughtUp) return;
    const rooms = roomsByName(state.get());
    const chosen = rooms.find(({ room }) => unread(state.get(), room.id) > 0) ?? rooms[0];
    if (chosen) openRoom(chosen.room.id, true);
  }, [page, roomId, caughtUp, state]);
}

/** Who is online is asked for while somebody may see it. */
function useLook(roomId: string | undefined): void {
  const engine = useEngine();
  const visible = useCell(shown);
  useEffect(() => {
    engine.look(roomId && visible ? [roomId] : []);
  }, [engine, roomId, visible]);
}

function useRoomKeys(roomId: string | undefined, onSwitch: () => void): void {
  const { state } = useEngine();
  useKey((event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      onSwitch();
    } else if (event.altKey && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault();
      const ids = roomsByName(state.get()).map(({ room }) => room.id);
      const at = roomId ? ids.indexOf(roomId) : -1;
      const next = ids[(at + (event.key === 'ArrowDown' ? 1 : -1) + ids.length) % ids.length];
      if (next) openRoom(next);
    }
  });
}

export function Workspace({ onSignOut }: { onSignOut: () => void }) {
  const where = useCell(route);
  const roomId = where.page === 'rooms' ? where.roomId : undefined;
  const roomState = useModel((state) => (roomId ? state.rooms[roomId] : undefined));
  const [sidebarOpen, setSidebarOpen] = useState(false);
  const [dialog, setDialog] = useState<'create' | 'browse' | 'switch'>();
  const [panel, setPanel] = useState<RoomPanel>();
  // Whoever closes a page is back where they were.
  const lastRoom = useRef(roomId);
  useEffect(() => {
    if (roomId) lastRoom.current = roomId;
  }, [roomId]);
  const { state } = useEngine();
  const back = () => {
    const last = lastRoom.current;
    openRoom(last && last in state.get().rooms ? last : undefined);
  };
  useTitle(roomId);
  useFirstRoom({ page: where.page, roomId });
  useLook(roomId);
  useRoomKeys(roomId, () => setDialog((shown) => (shown ? undefined : 'switch')));
  useKey((event) => {
    if (event.key === 'Escape') setSidebarOpen(false);
  });
  const showSidebar = () => setSidebarOpen(true);
  const close = () => setDialog(undefined);
  const create = () => setDialog('create');
  const browse = () => setDialog('browse');
  const open = (id: string) => {
    openRoom(id);
    setSidebarOpen(false);
    setDialog(undefined);
  };
  return (
    <div className="flex h-dvh flex-col">
      <Banner />
      <div className="relative flex min-h-0 flex-1">
        <div
          className={cx(
            'z-30 w-[272px] shrink-0 max-md:absolute max-md:inset-y-0 max-md:left-0 max-md:transition-transform',
            sidebarOpen ? 'max-md:shadow-float' : 'max-md:invisible max-md:-translate-x-full',
          )}
        >
          <Sidebar
            openRoomId={roomId}
            onOpen={open}
            onSwitch={() => setDialog('switch')}
            onCreate={create}
            onBrowse={browse}
            onSignOut={onSignOut}
          />
        </div>
        {sidebarOpen && (
          <button
            type="button"
            aria-label="Hide rooms"
            onClick={() => setSidebarOpen(false)}
            className="absolute inset-0 z-20 bg-black/35 md:hidden"
          />
        )}
        <main className="flex min-w-0 flex-1">
          <Suspense fallback={<div className="flex-1" />}>
            {where.page === 'settings' ? (
              <SettingsPage tab={where.tab} onClose={back} onSidebar={showSidebar} />
            ) : where.page === 'admin' ? (
              <AdminPage tab={where.tab} onClose={back} onSidebar={showSidebar} />
            ) : roomState ? (
              <RoomView
                key={roomState.room.id}
                roomState={roomState}
                panel={panel}
                onPanel={(wanted) => setPanel((now) => (now === wanted ? undefined : wanted))}
                onSidebar={showSidebar}
                onLeft={() => openRoom(undefined)}
              />
            ) : (
              <NoRoom roomId={roomId} onSidebar={showSidebar} onCreate={create} onBrowse={browse} />
            )}
          </Suspense>
        </main>
      </div>
      {where.page === 'invite' && (
        <AcceptInvite
          token={where.token}
          onClose={() => openRoom(undefined, true)}
          onAccepted={(id) => openRoom(id, true)}
        />
      )}
      <RoomSwitcher open={dialog === 'switch'} onClose={close} onOpen={open} />
      <CreateRoom open={dialog === 'create'} onClose={close} onCreated={open} />
      <BrowseRooms open={dialog === 'browse'} onClose={close} onJoined={open} />
    </div>
  );
}
