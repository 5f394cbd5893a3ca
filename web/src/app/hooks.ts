/** How screens look into the engine. */
import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from 'react';
import type { Connection } from '../api/socket';
import type { State } from '../model/state';
import type { User } from '../model/types';
import type { Engine } from './engine';
import type { Readable } from './store';

export const EngineContext = createContext<Engine | undefined>(undefined);

export function useEngine(): Engine {
  const engine = useContext(EngineContext);
  if (!engine) throw new Error('nobody is signed in here');
  return engine;
}

export function useCell<T>(readable: Readable<T>): T {
  return useSyncExternalStore(readable.subscribe, readable.get);
}

/** The selected value has to be the same object while nothing changed. */
export function useModel<T>(select: (state: State) => T): T {
  const { state } = useEngine();
  return useSyncExternalStore(state.subscribe, () => select(state.get()));
}

export function useConnection(): Connection {
  return useCell(useEngine().connection);
}

export function useUser(id: string): User | undefined {
  const { directory } = useEngine();
  useEffect(() => directory.want(id), [directory, id]);
  return useSyncExternalStore(directory.users.subscribe, () => directory.users.get()[id]);
}

/** The own account as it is now: name and picture may have been changed since signing in. */
export function useMe(): User {
  const { me } = useEngine();
  return useUser(me.id) ?? me;
}

/** What to call somebody whose name is still on its way. */
export function nameOf(user: User | undefined): string {
  return user?.displayName ?? '…';
}

/** A key anywhere on the page. */
export function useKey(handle: (event: KeyboardEvent) => void): void {
  const latest = useRef(handle);
  useEffect(() => {
    latest.current = handle;
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent) => latest.current(event);
    addEventListener('keydown', listener);
    return () => removeEventListener('keydown', listener);
  }, []);
}
