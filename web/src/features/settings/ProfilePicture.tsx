/** A picture is a file in a room, and is seen by those who can see that room. */
import { useMemo, useRef, useState } from 'react';
import { avatarUrls } from '../../api/files';
import { useEngine, useMe, useModel } from '../../app/hooks';
import { notify, telling } from '../../app/toasts';
import { roomsByName } from '../../model/selectors';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { Select } from '../../ui/Select';

function usePictureRooms() {
  const rooms = useModel((state) => state.rooms);
  return useMemo(() => {
    const all = roomsByName({ rooms }).map(({ room }) => room);
    // Public rooms first: there most people see it.
    return [...all.filter((room) => room.kind === 'public'), ...all.filter((room) => room.kind !== 'public')];
  }, [rooms]);
}

export function ProfilePicture() {
  const { account, uploads } = useEngine();
  const me = useMe();
  const rooms = usePictureRooms();
  const input = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState('');
  const [busy, setBusy] = useState(false);
  const roomId = chosen || rooms[0]?.id || '';
  const change = async (picture: () => Promise<string>) => {
    setBusy(true);
    const done = await telling(picture().then((avatarFileId) => account.update({ avatarFileId }).then(() => true)));
    setBusy(false);
    if (done) notify('Your picture is changed.');
  };
  const take = (file: File | undefined) => {
    if (!file) return;
    if (file.type.startsWith('image/')) void change(() => uploads.once(roomId, file));
    else notify('That is not a picture.', 'error');
  };
  return (
    <div className="flex flex-wrap items-center gap-4">
      <Avatar id={me.id} name={me.displayName} pictures={avatarUrls(me.avatarFileId)} size="large" />
      <div className="flex min-w-0 flex-1 flex-col gap-2">
        <input
          ref={input}
          type="file"
          accept="image/png,image/jpeg,image/gif,image/webp"
          hidden
          data-testid="picture-input"
          onChange={(event) => {
            take(event.target.files?.[0]);
            event.target.value = '';
          }}
        />
        <div className="flex flex-wrap items-end gap-2">
          <Button busy={busy} disabled={!roomId} onClick={() => input.current?.click()}>
            {me.avatarFileId ? 'Change picture…' : 'Choose picture…'}
          </Button>
          {me.avatarFileId && (
            <Button tone="quiet" busy={busy} data-testid="picture-remove" onClick={() => void change(async () => '')}>
              Remove
            </Button>
          )}
        </div>
        {rooms.length > 0 ? (
          <div className="flex flex-wrap items-center gap-2 text-[13px] text-ink-faint">
            Kept in, and seen by members of
            <Select
              label="Room that keeps the picture"
              bare
              value={roomId}
              onChange={(event) => setChosen(event.target.value)}
              options={rooms.map((room) => [room.id, room.name] as const)}
            />
          </div>
        ) : (
          <p className="text-[13px] text-ink-faint">Join a room first: pictures are kept in rooms.</p>
        )}
      </div>
    </div>
  );
}
