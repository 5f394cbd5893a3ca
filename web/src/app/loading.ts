/** What a screen asks the server for when it opens, one answer or page by page. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { describeError } from '../api/errors';

export interface Loaded<T> {
  /** Nothing before the first answer. */
  readonly value: T | undefined;
  readonly error: string;
  readonly reload: () => void;
}

/** Asks again when `load` is another function; an answer that is late for an earlier one is dropped. */
export function useLoad<T>(load: () => Promise<T>): Loaded<T> {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState('');
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the round is a reason to load
  useEffect(() => {
    let current = true;
    setError('');
    load().then(
      (answer) => current && setValue(() => answer),
      (cause) => current && setError(describeError(cause)),
    );
    return () => {
      current = false;
    };
  }, [load, round]);
  const reload = useCallback(() => setRound((now) => now + 1), []);
  return { value, error, reload };
}

export interface Page<T, C> {
  readonly items: readonly T[];
  /** Where the next page begins; nothing when this is the last. */
  readonly next: C | undefined;
}

export interface Pages<T> {
  readonly items: readonly T[] | undefined;
  readonly error: string;
  readonly more: boolean;
  readonly busy: boolean;
  readonly loadMore: () => void;
  readonly reload: () => void;
  /** Changes what is held, after a call that told what became of an item. */
  readonly change: (edit: (items: readonly T[]) => readonly T[]) => void;
}

export function usePages<T, C>(load: (from: C | undefined) => Promise<Page<T, C>>): Pages<T> {
  const [items, setItems] = useState<readonly T[]>();
  const [next, setNext] = useState<C>();
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(true);
  const round = useRef(0);
  const ask = useCallback(
    async (from: C | undefined) => {
      round.current += 1;
      const mine = round.current;
      setBusy(true);
      setError('');
      try {
        const page = await load(from);
        if (round.current !== mine) return;
        setItems((held) => (from === undefined ? page.items : [...(held ?? []), ...page.items]));
        setNext(() => page.next);
      } catch (cause) {
        if (round.current === mine) setError(describeError(cause));
      }
      if (round.current === mine) setBusy(false);
    },
    [load],
  );
  useEffect(() => {
    void ask(undefined);
    return () => {
      round.current += 1;
    };
  }, [ask]);
  return {
    items,
    error,
    busy,
    more: next !== undefined,
    loadMore: () => next !== undefined && void ask(next),
    reload: () => void ask(undefined),
    change: (edit) => setItems((held) => held && edit(held)),
  };
}
