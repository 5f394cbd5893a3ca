import { useState } from 'react';
import { requestPasswordReset } from '../../app/door';
import { useForm } from '../../app/forms';
import { Button } from '../../ui/Button';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';

interface RequestResetProps {
  /** Otherwise the administrator has the links. */
  byMail: boolean;
  onBack: () => void;
}

export function RequestReset({ byMail, onBack }: RequestResetProps) {
  const [asked, setAsked] = useState(false);
  const form = useForm(['account'], async (values) => {
    await requestPasswordReset(values.text('account'));
    setAsked(true);
  });
  return (
    <>
      <h2 className="font-display font-semibold text-xl">Forgotten password</h2>
      {asked ? (
        <p role="status" data-testid="reset-asked" className="mt-2 mb-5 text-ink-soft text-sm">
          {byMail
            ? 'If there is such an account and it has a mail address, a link is on its way there. It works for 30 minutes.'
            : 'If there is such an account, your administrator finds a link for it in the log of the server. Ask them for it; it works for 30 minutes.'}
        </p>
      ) : (
        <form onSubmit={form.onSubmit} data-testid="forgotten-form" className="mt-3 mb-3 flex flex-col gap-4">
          <Field
            label="Username or mail address"
            name="account"
            data-testid="forgotten-account"
            autoComplete="username"
            autoCapitalize="none"
            autoFocus
            required
            maxLength={254}
            error={form.fields.account}
          />
          <FormError text={form.problem?.text} />
          <Button type="submit" tone="primary" size="large" busy={form.busy} data-testid="submit">
            {byMail ? 'Send a link' : 'Ask for a link'}
          </Button>
        </form>
      )}
      <Button tone="quiet" onClick={onBack} className="w-full" data-testid="back-to-signin">
        Back to sign in
      </Button>
    </>
  );
}
