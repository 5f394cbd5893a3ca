/** The files of a room: all, or those of a kind, or those that are looked for by name and by what is known of them. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { telling } from '../../app/toasts';
import { useSettled } from '../../app/useSettled';
import { kindOf } from '../../model/files';
import type { Rights } from '../../model/policy';
import type { RoomState } from '../../model/state';
import type { FileInfo } from '../../model/types';
import { Confirm } from '../../ui/Confirm';
import { ListState, More } from '../../ui/Notices';
import { Search } from '../../ui/Search';
import { Select } from '../../ui/Select';
import { Lightbox } from '../timeline/Lightbox';
import { FileRow } from './FileRow';
import { Gallery } from './Gallery';
import { Panel } from './Panel';

interface FilesPanelProps {
  roomState: RoomState;
  rights: Rights;
  onClose: () => void;
}

const KINDS = [
  ['', 'All files'],
  ['image/*', 'Pictures'],
  ['audio/*', 'Sounds'],
  ['video/*', 'Films'],
  ['text/*', 'Texts'],
  ['application/*', 'Documents'],
] as const;

/** Changes with every file that becomes ready or is taken out, by anybody. */
function useFileChanges({ messages }: RoomState): string {
  return useMemo(() => {
    const files = messages.all.flatMap((message) => message.files);
    return files.map(({ id, state }) => `${id}${state}`).join();
  }, [messages.all]);
}

function useFiles(roomState: RoomState, query: string, contentType: string) {
  const { files } = useEngine();
  const { id } = roomState.room;
  const load = useCallback(
    (from?: string) => files.list(id, { query, contentType }, from),
    [files, id, query, contentType],
  );
  const pages = usePages(load);
  const changes = useFileChanges(roomState);
  const latest = useRef(pages.reload);
  useEffect(() => {
    latest.current = pages.reload;
  });
  const first = useRef(changes);
  useEffect(() => {
    if (first.current !== changes) latest.current();
    first.current = changes;
  }, [changes]);
  return pages;
}

export function FilesPanel({ roomState, rights, onClose }: FilesPanelProps) {
  const { files, me } = useEngine();
  const [text, setText] = useState('');
  const [kind, setKind] = useState('');
  const query = useSettled(text.trim());
  const pages = useFiles(roomState, query, kind);
  const [open, setOpen] = useState<FileInfo>();
  const [asking, setAsking] = useState<FileInfo>();
  const pictures = pages.items?.filter((file) => kindOf(file) === 'picture') ?? [];
  const remove = async ({ id }: FileInfo) => {
    if (!(await telling(files.remove(id).then(() => true)))) return;
    pages.change((items) => items.filter((item) => item.id !== id));
  };
  const filtered = query !== '' || kind !== '';
  return (
    <Panel title="Files" testId="files-panel" onClose={onClose}>
      <div className="flex flex-col gap-2 border-line border-b px-4 py-3">
        <Search label="Search files…" testId="file-search" value={text} onChange={setText} />
        <Select
          label="Kind of file"
          bare
          data-testid="file-kind"
          value={kind}
          options={KINDS}
          onChange={(event) => setKind(event.target.value)}
        />
      </div>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <ListState
          count={pages.items?.length}
          error={pages.error}
          onRetry={pages.reload}
          empty={filtered ? 'No file is like this.' : 'Nothing was shared here yet.'}
        >
          {kind === 'image/*' ? (
            <Gallery files={pictures} onOpen={setOpen} />
          ) : (
            <ul className="flex flex-col gap-px px-2 py-2">
              {pages.items?.map((file) => (
                <FileRow
                  key={file.id}
                  file={file}
                  onOpen={kindOf(file) === 'picture' ? () => setOpen(file) : undefined}
                  onDelete={
                    (file.uploaderId === me.id ? rights.deleteOwn : rights.deleteOthers)
                      ? () => setAsking(file)
                      : undefined
                  }
                />
              ))}
            </ul>
          )}
          <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
        </ListState>
      </div>
      {open && <Lightbox files={pictures} start={open} onClose={() => setOpen(undefined)} />}
      {asking && (
        <Confirm
          title={`Delete ${asking.name}?`}
          text="It is taken out of the room for everybody, also from the messages that carry it. This cannot be undone."
          action="Delete"
          onConfirm={() => void remove(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Panel>
  );
}
