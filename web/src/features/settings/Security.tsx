import { useCallback, useState } from 'react';
import { useForm } from '../../app/forms';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { notify, telling } from '../../app/toasts';
import { Button } from '../../ui/Button';
import { Field } from '../../ui/Field';
import { Failed, FormError, Waiting } from '../../ui/Notices';
import { Section } from '../../ui/Page';

function ended(count: number): string {
  if (count === 0) return '';
  return count === 1 ? ' One other session was ended.' : ` ${count} other sessions were ended.`;
}

export function Security() {
  return (
    <>
      <Password />
      <Mail />
    </>
  );
}

function Password() {
  const { account, me } = useEngine();
  const form = useForm(['current_password', 'new_password'], async (values, element) => {
    const count = await account.changePassword(values.raw('current_password'), values.raw('new_password'));
    element.reset();
    notify(`Your password is changed.${ended(count)}`);
  });
  return (
    <Section title="Password" text="Changing it ends all your other sessions. Access tokens go on.">
      <form onSubmit={form.onSubmit} data-testid="password-form" className="flex flex-col gap-4">
        <input type="text" name="username" autoComplete="username" value={me.username} readOnly hidden />
        <Field
          label="Current password"
          name="current_password"
          type="password"
          data-testid="current-password"
          autoComplete="current-password"
          required
          error={form.fields.current_password}
        />
        <Field
          label="New password"
          name="new_password"
          type="password"
          data-testid="new-password"
          autoComplete="new-password"
          required
          hint="At least 8 characters."
          error={form.fields.new_password}
        />
        <FormError text={form.problem?.text} />
        <Button type="submit" tone="primary" busy={form.busy} data-testid="password-save" className="self-start">
          Change password
        </Button>
      </form>
    </Section>
  );
}

function Mail() {
  const { account } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => account.me(), [account]));
  return (
    <Section title="Mail" text="Where mail for you goes, and the link with which you can reset a forgotten password.">
      {error && <Failed text={error} onRetry={reload} />}
      {!value && !error && <Waiting />}
      {value && <MailForm email={value.email} />}
      {value && <MentionSwitch on={value.mentionMail} />}
    </Section>
  );
}

/** Whether mentions while away are told by mail. */
function MentionSwitch({ on }: { on: boolean }) {
  const { account } = useEngine();
  const [wanted, setWanted] = useState(on);
  const change = async (mentionMail: boolean) => {
    setWanted(mentionMail);
    if (!(await telling(account.update({ mentionMail }).then(() => true)))) setWanted(!mentionMail);
  };
  return (
    <label className="mt-5 flex cursor-pointer items-start gap-2.5 text-sm leading-snug">
      <input
        type="checkbox"
        data-testid="mention-mail"
        checked={wanted}
        onChange={(event) => void change(event.target.checked)}
        className="mt-0.5 size-4 shrink-0 accent-loquat"
      />
      <span>
        <span className="block font-medium">Mail me when I am mentioned while I am away</span>
        <span className="block text-[13px] text-ink-soft">
          One mail for all mentions, some minutes later, and only if you have not read them by then.
        </span>
      </span>
    </label>
  );
}

function MailForm({ email }: { email: string }) {
  const { account } = useEngine();
  const form = useForm(['current_password', 'email'], async (values, element) => {
    const next = values.text('email');
    await account.changeEmail(values.raw('current_password'), next);
    const password = element.elements.namedItem('current_password');
    if (password instanceof HTMLInputElement) password.value = '';
    notify(next ? `Mail goes to ${next} from now on.` : 'No mail is sent to you any more.');
  });
  return (
    <form onSubmit={form.onSubmit} data-testid="email-form" className="flex flex-col gap-4">
      <Field
        label="Address"
        name="email"
        type="email"
        data-testid="email"
        maxLength={254}
        autoComplete="email"
        placeholder="None"
        defaultValue={email}
        error={form.fields.email}
      />
      <Field
        label="Current password"
        name="current_password"
        type="password"
        data-testid="email-password"
        autoComplete="current-password"
        required
        error={form.fields.current_password}
      />
      <FormError text={form.problem?.text} />
      <Button type="submit" tone="primary" busy={form.busy} data-testid="email-save" className="self-start">
        Save address
      </Button>
    </form>
  );
}
