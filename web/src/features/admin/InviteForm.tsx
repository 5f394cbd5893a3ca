import { useCallback } from 'react';
import { useForm } from '../../app/forms';
import { useEngine, useMe } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { type InviteWish, ROLE_NAMES, rolesToInvite } from '../../model/admin';
import type { WorkspaceRole } from '../../model/types';
import { Button } from '../../ui/Button';
import { Checks } from '../../ui/Checks';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { Failed, FormError, Waiting } from '../../ui/Notices';
import { Select } from '../../ui/Select';

const HOUR = 3600;
const DAY = 24 * HOUR;
const LIVES = [
  [String(HOUR), 'One hour'],
  [String(DAY), 'One day'],
  [String(7 * DAY), 'One week'],
  [String(30 * DAY), '30 days'],
  [String(365 * DAY), 'One year'],
] as const;

const FIELDS = ['expires_in_seconds', 'max_uses', 'role', 'rooms', 'note'];

interface InviteFormProps {
  onClose: () => void;
  onCreate: (wish: InviteWish) => Promise<void>;
}

export function InviteForm({ onClose, onCreate }: InviteFormProps) {
  const me = useMe();
  const form = useForm(FIELDS, async (values) => {
    await onCreate({
      expiresInSeconds: values.number('expires_in_seconds'),
      maxUses: values.number('max_uses'),
      role: values.text('role') as WorkspaceRole,
      roomIds: values.all('rooms'),
      note: values.text('note'),
    });
  });
  const roles = rolesToInvite(me.role).map((role) => [role, ROLE_NAMES[role]] as const);
  const { fields } = form;
  return (
    <Dialog open onClose={onClose} title="New invitation" testId="invite-form">
      <form onSubmit={form.onSubmit} className="flex flex-col gap-4 overflow-y-auto px-5 pt-1 pb-5">
        <Field
          label="Whom it is for"
          name="note"
          data-testid="invite-note"
          maxLength={128}
          autoFocus
          autoComplete="off"
          placeholder="Optional; only administrators see it"
          error={fields.note}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <Select label="Role" name="role" data-testid="invite-role" options={roles} error={fields.role} />
          <Select
            label="Ends after"
            name="expires_in_seconds"
            defaultValue={String(7 * DAY)}
            options={LIVES}
            error={fields.expires_in_seconds}
          />
        </div>
        <Field
          label="How often it may be used"
          name="max_uses"
          type="number"
          data-testid="invite-uses"
          min={0}
          max={100_000}
          placeholder="Any number of times"
          error={fields.max_uses}
        />
        <Rooms error={fields.rooms} />
        <FormError text={form.problem?.text} />
        <div className="flex justify-end gap-2">
          <Button tone="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" tone="primary" busy={form.busy} data-testid="invite-create">
            Create link
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Rooms({ error }: { error: string | undefined }) {
  const { chat } = useEngine();
  const rooms = useLoad(useCallback(() => chat.listRooms(), [chat]));
  if (rooms.error) return <Failed text={rooms.error} onRetry={rooms.reload} />;
  if (!rooms.value) return <Waiting text="Looking for rooms…" />;
  const choices = rooms.value
    .filter((room) => !room.archivedAt)
    .map((room) => ({ value: room.id, label: room.name, hint: room.kind === 'private' ? 'Private' : undefined }));
  if (choices.length === 0) return null;
  return <Checks legend="Rooms they are added to" name="rooms" choices={choices} columns error={error} />;
}
