/** The page behind a link that resets a password. */
import { useState } from 'react';
import { resetPassword } from '../../app/door';
import { useForm } from '../../app/forms';
import { Button } from '../../ui/Button';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Door } from './Door';

export function ResetPassword({ token, onDone }: { token: string; onDone: () => void }) {
  const [done, setDone] = useState(false);
  const form = useForm(['new_password'], async (values) => {
    await resetPassword(token, values.raw('new_password'));
    setDone(true);
  });
  return (
    <Door>
      <h2 className="font-display font-semibold text-xl">Set a new password</h2>
      {done ? (
        <p role="status" data-testid="reset-done" className="mt-2 mb-5 text-ink-soft text-sm">
          Your password is changed, and you were signed out everywhere. Sign in with the new one.
        </p>
      ) : (
        <form onSubmit={form.onSubmit} data-testid="reset-form" className="mt-3 mb-3 flex flex-col gap-4">
          <Field
            label="New password"
            name="new_password"
            type="password"
            data-testid="new-password"
            autoComplete="new-password"
            autoFocus
            required
            hint="At least 8 characters."
            error={form.fields.new_password}
          />
          <FormError text={form.problem?.text} />
          <Button type="submit" tone="primary" size="large" busy={form.busy} data-testid="submit">
            Set password
          </Button>
        </form>
      )}
      <Button tone={done ? 'primary' : 'quiet'} onClick={onDone} className="w-full" data-testid="back-to-signin">
        Sign in
      </Button>
    </Door>
  );
}
