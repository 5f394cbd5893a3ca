import { useForm } from '../../app/forms';
import { useEngine, useMe } from '../../app/hooks';
import { ROLE_NAMES, rolesToInvite } from '../../model/admin';
import type { WorkspaceRole } from '../../model/types';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Select } from '../../ui/Select';

export function BotForm({ onClose, onCreated }: { onClose: () => void; onCreated: () => void }) {
  const { admin } = useEngine();
  const me = useMe();
  const form = useForm(['username', 'display_name', 'role'], async (values) => {
    const role = values.text('role') as WorkspaceRole;
    await admin.createBot(values.text('username'), values.text('display_name'), role);
    onCreated();
  });
  const roles = rolesToInvite(me.role).map((role) => [role, ROLE_NAMES[role]] as const);
  return (
    <Dialog open onClose={onClose} title="New bot" testId="bot-form">
      <form onSubmit={form.onSubmit} className="flex flex-col gap-4 px-5 pt-1 pb-5">
        <Field
          label="Username"
          name="username"
          data-testid="bot-username"
          required
          autoFocus
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={32}
          error={form.fields.username}
        />
        <Field
          label="Name"
          name="display_name"
          data-testid="bot-name"
          autoComplete="off"
          maxLength={64}
          placeholder="As people see it"
          error={form.fields.display_name}
        />
        <Select label="Role" name="role" options={roles} error={form.fields.role} />
        <FormError text={form.problem?.text} />
        <div className="flex justify-end gap-2">
          <Button tone="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" tone="primary" busy={form.busy} data-testid="bot-create">
            Create bot
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
