/** Name and topic, how far back members may read, how long messages are kept, and what needs which role. */

import type { RoomChange } from '../../app/chat';
import { useForm, type Values } from '../../app/forms';
import { useEngine } from '../../app/hooks';
import type { Rights } from '../../model/policy';
import { ROOM_ROLES, type Room, type RoomHistory, type RoomPermissions, type RoomRole } from '../../model/types';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Select } from '../../ui/Select';
import { Retention } from './Retention';
import { RoomWebhooks } from './RoomWebhooks';

interface RoomSettingsProps {
  room: Room;
  rights: Rights;
  onClose: () => void;
}

const HISTORIES = [
  ['all', 'Everything that was ever said'],
  ['since-joined', 'What was said since they joined'],
] as const;

const FROM = {
  owner: 'Owners only',
  admin: 'Admins and above',
  moderator: 'Moderators and above',
  member: 'Every member',
} as const;

const PERMISSIONS: readonly (readonly [keyof RoomPermissions, string])[] = [
  ['post', 'Post'],
  ['addMembers', 'Bring people in'],
  ['removeMembers', 'Put people out'],
  ['editRoom', 'Change name and topic'],
  ['deleteMessages', 'Delete what others wrote'],
];

/** What was changed; a field that is not there stays as it is. */
export function changesOf(room: Room, values: Values, rights: Pick<Rights, 'edit' | 'manage'>): RoomChange {
  const change: { -readonly [K in keyof RoomChange]: RoomChange[K] } = {};
  if (rights.edit) {
    const [name, topic] = [values.text('name'), values.text('topic')];
    if (name !== room.name) change.name = name;
    if (topic !== room.topic) change.topic = topic;
  }
  if (!rights.manage) return change;
  const history = values.text('history') as RoomHistory;
  if (history && history !== room.history) change.history = history;
  const days = values.text('retention_days');
  if (days && Number(days) !== room.retentionDays) change.retentionDays = Number(days);
  const permissions = PERMISSIONS.flatMap(([name]) => {
    const role = values.text(name) as RoomRole;
    return role && role !== room.permissions[name] ? [[name, role] as const] : [];
  });
  if (permissions.length > 0) change.permissions = Object.fromEntries(permissions);
  return change;
}

export function RoomSettings({ room, rights, onClose }: RoomSettingsProps) {
  const { chat } = useEngine();
  const form = useForm(['name', 'topic', 'history', 'retention_days', 'permissions'], async (values) => {
    const change = changesOf(room, values, rights);
    if (Object.keys(change).length > 0) await chat.update(room.id, change);
    onClose();
  });
  const { fields } = form;
  return (
    <Dialog open onClose={onClose} title="Room settings" testId="room-settings">
      <div className="overflow-y-auto">
        <form onSubmit={form.onSubmit} className="flex flex-col gap-4 px-5 pt-1 pb-5">
          <Field
            label="Name"
            name="name"
            data-testid="settings-name"
            required
            maxLength={80}
            autoFocus
            disabled={!rights.edit}
            defaultValue={room.name}
            error={fields.name}
          />
          <Field
            label="What it is about"
            name="topic"
            data-testid="settings-topic"
            maxLength={1024}
            disabled={!rights.edit}
            defaultValue={room.topic}
            error={fields.topic}
          />
          <Select
            label="Members may read"
            name="history"
            data-testid="settings-history"
            disabled={!rights.manage}
            defaultValue={room.history}
            options={HISTORIES}
            hint="Holds for those who join from now on."
            error={fields.history}
          />
          <Retention room={room} disabled={!rights.manage} error={fields.retention_days} />
          <Permissions room={room} rights={rights} error={fields.permissions} />
          <FormError text={form.problem?.text} />
          <div className="flex justify-end gap-2">
            <Button tone="quiet" onClick={onClose}>
              Cancel
            </Button>
            <Button
              type="submit"
              tone="primary"
              busy={form.busy}
              disabled={!rights.edit && !rights.manage}
              data-testid="settings-save"
            >
              Save
            </Button>
          </div>
        </form>
        {rights.webhooks && <RoomWebhooks roomId={room.id} mayAdd={rights.addWebhook} />}
      </div>
    </Dialog>
  );
}

/** A permission above one's own role can be seen and not changed. */
function Permissions({ room, rights, error }: Omit<RoomSettingsProps, 'onClose'> & { error: string | undefined }) {
  return (
    <fieldset className="min-w-0">
      <legend className="mb-1.5 font-medium text-ink text-sm">Who may</legend>
      <div className="flex flex-col gap-2 rounded-lg border border-line bg-raised p-3">
        {PERMISSIONS.map(([name, label]) => {
          const now = room.permissions[name];
          const offered = ROOM_ROLES.filter((role) => role === now || rights.permit(now, role));
          return (
            <div key={name} className="flex flex-wrap items-center justify-between gap-2 text-sm">
              <span aria-hidden="true">{label}</span>
              <Select
                label={label}
                bare
                name={name}
                data-testid={`permission-${name}`}
                disabled={offered.length < 2}
                defaultValue={now}
                options={offered.map((role) => [role, FROM[role]] as const)}
              />
            </div>
          );
        })}
      </div>
      {error && <p className="mt-1.5 text-[13px] text-danger">{error}</p>}
    </fieldset>
  );
}
