/** What the timeline of a room does by itself: loads, marks as read, knows what was new. */
import { useCallback, useEffect, useMemo, useState } from 'react';
import { describeError } from '../../api/errors';
import { focused } from '../../app/focus';
import { useCell, useConnection, useEngine, useModel } from '../../app/hooks';
import { notify } from '../../app/toasts';
import { visible } from '../../model/messages';
import { readMarker, unread } from '../../model/selectors';
import type { RoomState } from '../../model/state';
import type { Message } from '../../model/types';

/** Asks for the newest page once the room and the connection are there, and for older ones on demand. */
export function usePages({ room, messages }: RoomState) {
  const { chat } = useEngine();
  const [error, setError] = useState('');
  const open = useConnection().phase === 'live';
  const missing = !Number.isFinite(messages.from);
  const load = useCallback(() => {
    setError('');
    chat.loadMessages(room.id).catch((cause) => setError(describeError(cause)));
  }, [chat, room.id]);
  // A room that started anew (another generation) has to be asked for again, and so has one that failed before.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the generation is a reason to load
  useEffect(() => {
    if (missing && open) load();
  }, [missing, open, messages.generation, load]);
  const older = useCallback(() => {
    if (open && !missing && messages.from > 0 && !error) load();
  }, [open, missing, messages.from, error, load]);
  return { loaded: !missing, more: messages.from > 0, error, load, older };
}

/** Marks as read what somebody looks at, at the end of the timeline. */
export function useMarkRead(roomId: string, newest: Message | undefined, atEnd: boolean): void {
  const { chat } = useEngine();
  const looking = useCell(focused);
  const live = useConnection().phase === 'live';
  const count = useModel((state) => unread(state, roomId));
  const seq = newest?.seq ?? 0;
  const due = looking && live && atEnd && count > 0 && seq > 0;
  useEffect(() => {
    // It is tried again with the next message.
    if (due) chat.markRead(roomId, seq).catch(() => {});
  }, [due, seq, roomId, chat]);
}

/** The number above which messages were new when somebody last began to look. */
export function useNewLine(roomId: string, mineNewest: string): number | undefined {
  const marker = useModel((state) => readMarker(state, roomId).seq);
  const count = useModel((state) => unread(state, roomId));
  const looking = useCell(focused);
  const [line, setLine] = useState(() => (count > 0 ? marker : undefined));
  useEffect(() => {
    if (!looking && count > 0) setLine((held) => Math.max(held ?? 0, marker));
  }, [looking, count, marker]);
  // Whoever answers has seen what was new.
  const [answered, setAnswered] = useState(mineNewest);
  if (answered !== mineNewest) {
    setAnswered(mineNewest);
    setLine(undefined);
  }
  return line;
}

export function useVisible({ messages }: RoomState): readonly Message[] {
  return useMemo(() => visible(messages), [messages]);
}

export function copyText(message: Message): void {
  navigator.clipboard.writeText(message.text).then(
    () => notify('Copied.'),
    () => notify('The browser did not allow copying.', 'error'),
  );
}
