/** Holds one value and tells when it changed, once for everything that happened in the same turn. */

export interface Readable<T> {
  get(): T;
  subscribe(listener: () => void): () => void;
}

export interface Cell<T> extends Readable<T> {
  set(value: T): void;
}

/** `schedule` decides when to tell; at the end of the turn unless said otherwise. */
export function cell<T>(initial: T, schedule: (tell: () => void) => void = queueMicrotask): Cell<T> {
  let value = initial;
  let scheduled = false;
  const listeners = new Set<() => void>();
  const tell = () => {
    scheduled = false;
    for (const listener of [...listeners]) listener();
  };
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      if (scheduled) return;
      scheduled = true;
      schedule(tell);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
