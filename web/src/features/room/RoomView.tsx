/** One room: its head, what is said in it, where one writes, and who is there. */
import { type DragEvent, useCallback, useEffect, useRef, useState } from 'react';
import { useEngine, useKey } from '../../app/hooks';
import { visible } from '../../model/messages';
import { whyNotPost } from '../../model/policy';
import type { RoomState } from '../../model/state';
import { Composer, useAttach } from '../composer/Composer';
import { NoComposer } from '../composer/NoComposer';
import { TypingLine } from '../composer/TypingLine';
import { Timeline } from '../timeline/Timeline';
import { FilesPanel } from './FilesPanel';
import { MembersPanel } from './MembersPanel';
import { RoomHeader } from './RoomHeader';
import { useAsker, useRights } from './useRights';

/** What is shown beside the conversation. */
export type RoomPanel = 'members' | 'files';

interface RoomViewProps {
  roomState: RoomState;
  panel: RoomPanel | undefined;
  /** Opens it, or closes it when it is open. */
  onPanel: (panel: RoomPanel) => void;
  onSidebar: () => void;
  onLeft: () => void;
}

/** Typing goes into the composer, wherever the focus is. */
function typesText(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  const taken = target.closest(
    'input, textarea, select, [role="dialog"], [role="alertdialog"], [role="menu"], article',
  );
  return !taken && event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey && !event.altKey;
}

export function RoomView({ roomState, panel, onPanel, onSidebar, onLeft }: RoomViewProps) {
  const { me, state } = useEngine();
  const { room } = roomState;
  const field = useRef<HTMLTextAreaElement>(null);
  const [editing, setEditing] = useState<string>();
  const rights = useRights(roomState);
  const whyNot = whyNotPost(room, useAsker(roomState));
  const drop = useDropZone(useAttach(room.id), rights.post);
  useEffect(() => {
    // On a touch screen this would open the keyboard.
    if (matchMedia('(pointer: fine)').matches) field.current?.focus();
  }, []);
  useKey((event) => {
    if (typesText(event) && !editing) field.current?.focus();
  });
  const edit = useCallback((messageId: string | undefined) => {
    setEditing(messageId);
    if (!messageId) field.current?.focus();
  }, []);
  const editLast = () => {
    const messages = state.get().rooms[room.id]?.messages;
    const mine = messages && visible(messages).findLast((message) => message.authorId === me.id && !message.deletedAt);
    if (mine) setEditing(mine.id);
  };
  return (
    <div className="relative flex min-w-0 flex-1">
      <section
        aria-label={room.name}
        className="relative flex min-w-0 flex-1 flex-col"
        onDragEnter={drop.enter}
        onDragOver={drop.over}
        onDragLeave={drop.leave}
        onDrop={drop.drop}
      >
        <RoomHeader roomState={roomState} panel={panel} onPanel={onPanel} onSidebar={onSidebar} onLeft={onLeft} />
        <Timeline roomState={roomState} rights={rights} editing={rights.post ? editing : undefined} onEdit={edit} />
        {whyNot ? (
          <NoComposer room={room} why={whyNot} mayUnarchive={rights.archive} />
        ) : (
          <Composer room={room} field={field} onEditLast={editLast} />
        )}
        <TypingLine roomId={room.id} />
        {drop.active && (
          <div className="pointer-events-none absolute inset-3 z-20 grid place-items-center rounded-2xl border-2 border-loquat border-dashed bg-paper/85 font-display font-semibold text-lg">
            Drop to attach
          </div>
        )}
      </section>
      {panel === 'members' && <MembersPanel roomState={roomState} onClose={() => onPanel('members')} />}
      {panel === 'files' && <FilesPanel roomState={roomState} rights={rights} onClose={() => onPanel('files')} />}
    </div>
  );
}

function useDropZone(attach: (files: Iterable<File>) => void, open: boolean) {
  const [depth, setDepth] = useState(0);
  const files = (event: DragEvent) => open && event.dataTransfer.types.includes('Files');
  return {
    active: depth > 0,
    enter: (event: DragEvent) => files(event) && setDepth((now) => now + 1),
    over: (event: DragEvent) => files(event) && event.preventDefault(),
    leave: (event: DragEvent) => files(event) && setDepth((now) => Math.max(0, now - 1)),
    drop: (event: DragEvent) => {
      if (!files(event)) return;
      event.preventDefault();
      setDepth(0);
      attach(event.dataTransfer.files);
    },
  };
}
