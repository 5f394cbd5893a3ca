/** A new access token, of a person or of a bot. */
import { useForm } from '../../app/forms';
import { SCOPES, type TokenWish } from '../../model/account';
import { Button } from '../../ui/Button';
import { Checks } from '../../ui/Checks';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Select } from '../../ui/Select';

const LIVES = [
  ['30', '30 days'],
  ['90', '90 days'],
  ['365', 'One year'],
  ['0', 'Never'],
] as const;

interface TokenFormProps {
  title: string;
  /** Whether scopes of administration are of any use. */
  administers: boolean;
  onClose: () => void;
  onCreate: (wish: TokenWish) => Promise<void>;
}

export function TokenForm({ title, administers, onClose, onCreate }: TokenFormProps) {
  const form = useForm(['name', 'scopes', 'expires_in_days'], async (values) => {
    const scopes = values.all('scopes');
    await onCreate({ name: values.text('name'), scopes, days: values.number('days') });
  });
  const offered = SCOPES.filter(([value]) => administers || !value.startsWith('admin:'));
  const choices = offered.map(([value, label, hint]) => ({ value, label, hint }));
  return (
    <Dialog open onClose={onClose} title={title} testId="token-dialog">
      <form onSubmit={form.onSubmit} className="flex flex-col gap-4 overflow-y-auto px-5 pt-1 pb-5">
        <Field
          label="What it is for"
          name="name"
          data-testid="token-name"
          required
          maxLength={64}
          autoFocus
          autoComplete="off"
          placeholder="Release bot"
          error={form.fields.name}
        />
        <Select
          label="Ends after"
          name="days"
          data-testid="token-days"
          defaultValue="90"
          options={LIVES}
          error={form.fields.expires_in_days}
        />
        <Checks legend="It may" name="scopes" choices={choices} error={form.fields.scopes} />
        <FormError text={form.problem?.text} />
        <div className="flex justify-end gap-2">
          <Button tone="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" tone="primary" busy={form.busy} data-testid="token-create">
            Create token
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
