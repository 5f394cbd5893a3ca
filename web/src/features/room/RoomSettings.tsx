import { type FormEvent, useState } from 'react';
import { describeError } from '../../api/errors';
import { useEngine } from '../../app/hooks';
import type { Room } from '../../model/types';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';

export function RoomSettings({ room, open, onClose }: { room: Room; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Name and topic" testId="room-settings">
      <SettingsForm room={room} onClose={onClose} />
    </Dialog>
  );
}

function SettingsForm({ room, onClose }: { room: Room; onClose: () => void }) {
  const { chat } = useEngine();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const values = new FormData(event.currentTarget);
    setBusy(true);
    try {
      await chat.update(room.id, String(values.get('name')).trim(), String(values.get('topic')).trim());
      onClose();
    } catch (cause) {
      setError(describeError(cause));
      setBusy(false);
    }
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-4 px-5 pb-5">
      <Field
        label="Name"
        name="name"
        data-testid="settings-name"
        required
        maxLength={80}
        autoFocus
        defaultValue={room.name}
        error={error}
      />
      <Field
        label="What it is about"
        name="topic"
        data-testid="settings-topic"
        maxLength={1024}
        defaultValue={room.topic}
      />
      <div className="flex justify-end gap-2">
        <Button tone="quiet" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" tone="primary" busy={busy} data-testid="settings-save">
          Save
        </Button>
      </div>
    </form>
  );
}
