/** Where one writes. Enter sends, Shift+Enter begins a line, an arrow up in an empty field edits what was said last. */
import { Paperclip, SendHorizontal } from 'lucide-react';
import { type ClipboardEvent, type KeyboardEvent, type RefObject, useMemo, useRef, useState } from 'react';
import { draftOf, keepDraft } from '../../app/drafts';
import { useCell, useEngine } from '../../app/hooks';
import { notify } from '../../app/toasts';
import { MOST_FILES } from '../../app/uploads';
import type { Room } from '../../model/types';
import { IconButton } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { useAutoSize } from '../../ui/useAutoSize';
import { UploadTray } from './UploadTray';

const MOST_BYTES = 16_384;
const WARN_BYTES = 15_000;

interface ComposerProps {
  room: Room;
  field: RefObject<HTMLTextAreaElement | null>;
  onEditLast: () => void;
}

/** A placeholder that breaks into lines makes the field higher. */
function shortened(name: string): string {
  return name.length > 24 ? `${name.slice(0, 23).trimEnd()}…` : name;
}

/** Adds files to the room's next message, and says when there are too many. */
export function useAttach(roomId: string): (files: Iterable<File>) => void {
  const { uploads } = useEngine();
  return (files) => {
    const left = uploads.add(roomId, [...files]);
    if (left > 0) notify(`A message carries at most ${MOST_FILES} files.`, 'error');
  };
}

function useDraft(roomId: string) {
  const [text, setText] = useState(() => draftOf(roomId));
  const change = (next: string) => {
    setText(next);
    keepDraft(roomId, next);
  };
  return [text, change] as const;
}

export function Composer({ room, field, onEditLast }: ComposerProps) {
  const engine = useEngine();
  const [text, setText] = useDraft(room.id);
  const all = useCell(engine.uploads.items);
  const items = useMemo(() => all.filter((item) => item.roomId === room.id), [all, room.id]);
  const attach = useAttach(room.id);
  useAutoSize(field, text);
  const bytes = useMemo(() => new TextEncoder().encode(text.trim()).length, [text]);
  const uploaded = items.every((item) => item.attachment);
  const ready = (bytes > 0 || items.length > 0) && bytes <= MOST_BYTES && uploaded;

  const send = () => {
    if (!ready) {
      if (!uploaded) notify('The files are still on their way.');
      return;
    }
    engine.send(room.id, text.trim(), engine.uploads.take(room.id));
    setText('');
    field.current?.focus();
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === 'ArrowUp' && text === '') {
      event.preventDefault();
      onEditLast();
    }
  };
  const paste = (event: ClipboardEvent) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    attach(event.clipboardData.files);
  };
  return (
    <div
      className={cx(
        'mx-4 rounded-2xl border border-line bg-raised shadow-[0_1px_3px_rgb(40_34_20/0.06)] transition-colors',
        'focus-within:border-loquat focus-within:ring-3 focus-within:ring-loquat/15',
      )}
    >
      <UploadTray items={items} />
      <div className="flex items-end gap-1 p-1.5">
        <AttachButton onFiles={attach} />
        <textarea
          ref={field}
          data-testid="composer"
          aria-label={`Message ${room.name}`}
          placeholder={`Message ${shortened(room.name)}`}
          rows={1}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            if (event.target.value) engine.chat.typing(room.id);
          }}
          onKeyDown={press}
          onPaste={paste}
          className="quiet-focus field-sizing-content max-h-[40vh] min-h-9 flex-1 resize-none bg-transparent px-1.5 py-1.5 placeholder:text-ink-faint"
        />
        {bytes > WARN_BYTES && (
          <span className={cx('pb-2 text-[12px] tabular-nums', bytes > MOST_BYTES ? 'text-danger' : 'text-ink-faint')}>
            {MOST_BYTES - bytes}
          </span>
        )}
        <IconButton label="Send" data-testid="send" disabled={!ready} onClick={send} tone="primary" size="large">
          <SendHorizontal size={18} />
        </IconButton>
      </div>
    </div>
  );
}

function AttachButton({ onFiles }: { onFiles: (files: Iterable<File>) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        data-testid="file-input"
        onChange={(event) => {
          onFiles(event.target.files ?? []);
          event.target.value = '';
        }}
      />
      <IconButton label="Attach files" data-testid="attach" size="large" onClick={() => input.current?.click()}>
        <Paperclip size={18} />
      </IconButton>
    </>
  );
}
