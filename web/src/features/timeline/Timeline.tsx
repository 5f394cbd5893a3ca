/** What was said in a room, and what is being said. */
import { ArrowDown } from 'lucide-react';
import { type KeyboardEvent, useEffect, useMemo, useState } from 'react';
import { nameOf, useEngine, useModel, useUser } from '../../app/hooks';
import { telling } from '../../app/toasts';
import type { Rights } from '../../model/policy';
import { outboxOf, unread } from '../../model/selectors';
import type { RoomState } from '../../model/state';
import type { Message } from '../../model/types';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { type MessageActions, MessageItem } from './MessageItem';
import { PendingItem } from './PendingItem';
import { RoomBeginning } from './RoomBeginning';
import { type Row, rowsOf } from './rows';
import { dayOf } from './time';
import { useScroll } from './useScroll';
import { copyText, useMarkRead, useNewLine, usePages, useVisible } from './useTimeline';

interface TimelineProps {
  roomState: RoomState;
  rights: Rights;
  editing: string | undefined;
  onEdit: (messageId: string | undefined) => void;
}

/** The arrows go from message to message, also from a link or picture in one; in a field or a menu they have other work. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  const target = event.target as HTMLElement;
  if (step === 0 || event.defaultPrevented || target.closest('textarea, [role=menu], [role=dialog]')) return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex((row) => row.contains(target));
  const next = at === -1 ? rows.at(-1) : rows[at + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

export function Timeline({ roomState, rights, editing, onEdit }: TimelineProps) {
  const { me, chat } = useEngine();
  const { room } = roomState;
  const messages = useVisible(roomState);
  const allOutbox = useModel((state) => state.outbox);
  const outbox = useMemo(() => outboxOf({ outbox: allOutbox }, room.id), [allOutbox, room.id]);
  const [deleting, setDeleting] = useState<Message>();
  const pages = usePages(roomState);
  const mineNewest = outbox.at(-1)?.opId ?? '';
  const newAfter = useNewLine(room.id, mineNewest);
  const rows = useMemo(() => rowsOf(messages, outbox, me.id, newAfter), [messages, outbox, me.id, newAfter]);
  const scroll = useScroll(pages.loaded, pages.older);
  const count = useModel((state) => unread(state, room.id));
  const newest = messages.at(-1);
  useMarkRead(room.id, newest, scroll.atEnd && pages.loaded);
  const { toEnd } = scroll;
  useEffect(() => {
    if (mineNewest) toEnd();
  }, [mineNewest, toEnd]);

  const actions = useMemo<MessageActions>(
    () => ({
      edit: (message) => onEdit(message.id),
      cancel: () => onEdit(undefined),
      save: (message, text) => {
        onEdit(undefined);
        void telling(chat.edit(message.roomId, message.id, text));
      },
      remove: setDeleting,
      removePreviews: (message) => void telling(chat.removePreviews(message.roomId, message.id)),
      copy: copyText,
    }),
    [chat, onEdit],
  );
  const draw = (row: Row) => {
    switch (row.kind) {
      case 'day':
        return <DayLine key={row.key} at={row.at} />;
      case 'new':
        return <NewLine key={row.key} />;
      case 'pending':
        return <PendingItem key={row.key} entry={row.entry} first={row.first} />;
      case 'message': {
        const mine = row.message.authorId === me.id;
        return (
          <MessageItem
            key={row.key}
            message={row.message}
            first={row.first}
            mine={mine}
            mayEdit={mine && rights.post}
            mayDelete={mine ? rights.deleteOwn : rights.deleteOthers}
            editing={editing === row.message.id}
            actions={actions}
          />
        );
      }
    }
  };
  return (
    <div className="relative min-h-0 flex-1">
      <div
        ref={scroll.scroller}
        onScroll={scroll.onScroll}
        onKeyDown={moveFocus}
        role="log"
        aria-live="off"
        aria-label={`Messages in ${room.name}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the arrows go through its messages
        tabIndex={0}
        data-testid="timeline"
        className="h-full overflow-y-auto overscroll-contain [overflow-anchor:none] focus-visible:-outline-offset-2"
      >
        <div ref={scroll.content} className="flex min-h-full flex-col justify-end pb-4">
          {pages.error && <LoadError text={pages.error} onRetry={pages.load} />}
          {!pages.more && <RoomBeginning room={room} />}
          {pages.more && !pages.error && <Loading first={!pages.loaded} />}
          {rows.map(draw)}
        </div>
      </div>
      {!scroll.atEnd && <JumpToLatest count={count} onJump={scroll.toEnd} />}
      <Announcer newest={newest} me={me.id} />
      {deleting && (
        <Confirm
          title="Delete this message?"
          text="Its text and files are taken away for everybody. This cannot be undone."
          action="Delete"
          onConfirm={() => void telling(chat.remove(deleting.roomId, deleting.id))}
          onClose={() => setDeleting(undefined)}
        />
      )}
    </div>
  );
}

function DayLine({ at }: { at: number }) {
  return (
    <div className="mt-5 mb-1 flex items-center gap-3 px-5">
      <span className="h-px flex-1 bg-line" />
      <span className="font-medium text-[12.5px] text-ink-faint">{dayOf(at)}</span>
      <span className="h-px flex-1 bg-line" />
    </div>
  );
}

function NewLine() {
  return (
    <div data-new-line="" data-testid="new-line" className="mt-3 -mb-1 flex items-center gap-2 px-5">
      <span className="h-px flex-1 bg-loquat" />
      <span className="font-semibold text-[12px] text-loquat-ink">New</span>
    </div>
  );
}

function Loading({ first }: { first: boolean }) {
  return (
    <output className="block px-5 py-4 text-center text-[13px] text-ink-faint">
      {first ? 'Opening the room…' : 'Older messages…'}
    </output>
  );
}

function LoadError({ text, onRetry }: { text: string; onRetry: () => void }) {
  return (
    <div className="flex items-center justify-center gap-3 px-5 py-4 text-ink-soft text-sm">
      {text}
      <Button size="small" onClick={onRetry}>
        Try again
      </Button>
    </div>
  );
}

function JumpToLatest({ count, onJump }: { count: number; onJump: () => void }) {
  return (
    <button
      type="button"
      onClick={onJump}
      data-testid="jump-to-latest"
      className="absolute bottom-3 left-1/2 flex h-8 -translate-x-1/2 animate-rise items-center gap-1.5 rounded-full border border-line bg-raised px-3.5 font-medium text-[13px] shadow-float hover:bg-sunken"
    >
      <ArrowDown size={14} />
      {count > 0 ? `${count} new` : 'Latest messages'}
    </button>
  );
}

/** Tells those who listen what others say. */
function Announcer({ newest, me }: { newest: Message | undefined; me: string }) {
  const author = useUser(newest && !newest.webhook ? newest.authorId : '');
  const [heard, setHeard] = useState(newest?.seq ?? 0);
  const [text, setText] = useState('');
  if (newest && newest.seq > heard) {
    setHeard(newest.seq);
    if (heard > 0 && newest.authorId !== me)
      setText(`${newest.webhook || nameOf(author)}: ${newest.text || 'sent a file'}`);
  }
  return (
    <div aria-live="polite" data-testid="announcer" className="sr-only">
      {text}
    </div>
  );
}
