import { Hash, Lock } from 'lucide-react';
import { useState } from 'react';
import { useForm } from '../../app/forms';
import { useEngine } from '../../app/hooks';
import type { RoomKind } from '../../model/types';
import { Button } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';

interface CreateRoomProps {
  open: boolean;
  onClose: () => void;
  onCreated: (roomId: string) => void;
}

const KINDS = [
  ['public', 'Public', 'Everybody here can find and join it.', Hash],
  ['private', 'Private', 'Only people who are added know of it.', Lock],
] as const;

export function CreateRoom({ open, onClose, onCreated }: CreateRoomProps) {
  return (
    <Dialog open={open} onClose={onClose} title="New room" testId="create-room-dialog">
      <CreateRoomForm onClose={onClose} onCreated={onCreated} />
    </Dialog>
  );
}

function CreateRoomForm({ onClose, onCreated }: Omit<CreateRoomProps, 'open'>) {
  const { chat } = useEngine();
  const [kind, setKind] = useState<RoomKind>('public');
  const form = useForm(['name', 'topic'], async (values) => {
    const announcements = values.text('announcements') === 'on';
    onCreated(await chat.createRoom({ name: values.text('name'), topic: values.text('topic'), kind, announcements }));
  });
  return (
    <form onSubmit={form.onSubmit} className="flex flex-col gap-4 px-5 pb-5">
      <Field
        label="Name"
        name="name"
        data-testid="room-name"
        required
        maxLength={80}
        autoFocus
        autoComplete="off"
        error={form.fields.name}
      />
      <Field
        label="What it is about"
        name="topic"
        maxLength={1024}
        autoComplete="off"
        placeholder="Optional"
        error={form.fields.topic}
      />
      <fieldset className="grid grid-cols-2 gap-2">
        <legend className="sr-only">Who can find it</legend>
        {KINDS.map(([value, label, hint, Icon]) => (
          <label
            key={value}
            data-testid={`kind-${value}`}
            className={cx(
              'cursor-pointer rounded-xl border p-3 transition-colors focus-within:outline-2 focus-within:outline-loquat',
              kind === value ? 'border-loquat bg-loquat-soft' : 'border-line hover:bg-sunken',
            )}
          >
            <input
              type="radio"
              name="kind"
              className="sr-only"
              checked={kind === value}
              onChange={() => setKind(value)}
            />
            <span className="flex items-center gap-1.5 font-semibold text-sm">
              <Icon size={15} /> {label}
            </span>
            <span className="mt-1 block text-[13px] text-ink-soft leading-snug">{hint}</span>
          </label>
        ))}
      </fieldset>
      <label className="flex cursor-pointer items-start gap-2.5 text-sm">
        <input
          type="checkbox"
          name="announcements"
          data-testid="room-announcements"
          className="mt-1 size-4 accent-loquat"
        />
        <span>
          <span className="font-medium">Announcements only</span>
          <span className="block text-[13px] text-ink-soft">Moderators and above post, everybody reads.</span>
        </span>
      </label>
      <FormError text={form.problem?.text} />
      <div className="flex justify-end gap-2 pt-1">
        <Button tone="quiet" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" tone="primary" busy={form.busy} data-testid="create-room-submit">
          Create room
        </Button>
      </div>
    </form>
  );
}
