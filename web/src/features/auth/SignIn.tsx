/** The door: sign in, make an account, or ask for a link that resets the password. */
import { useCallback, useState } from 'react';
import { login, register, type Session } from '../../api/session';
import { type SignInOptions, signInOptions } from '../../app/door';
import { useForm } from '../../app/forms';
import { useLoad } from '../../app/loading';
import { Button } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Door } from './Door';
import { RequestReset } from './RequestReset';

type Mode = 'in' | 'up' | 'forgotten';

interface SignInProps {
  notice?: string;
  onSignedIn: (session: Session) => void;
}

export function SignIn({ notice, onSignedIn }: SignInProps) {
  const [mode, setMode] = useState<Mode>('in');
  // The door works without this answer as well; it only says less.
  const { value: options } = useLoad(useCallback(() => signInOptions(), []));
  if (mode === 'forgotten') {
    return (
      <Door>
        <RequestReset byMail={options?.resetByMail ?? true} onBack={() => setMode('in')} />
      </Door>
    );
  }
  return (
    <Door>
      <ModeTabs mode={mode} onChange={setMode} />
      {notice && <p className="mb-4 rounded-lg bg-loquat-soft px-3 py-2 text-sm">{notice}</p>}
      {mode === 'in' ? (
        <SignInForm onSignedIn={onSignedIn} onForgotten={() => setMode('forgotten')} />
      ) : (
        <SignUpForm options={options} onSignedIn={onSignedIn} />
      )}
    </Door>
  );
}

function SignInForm({ onSignedIn, onForgotten }: Pick<SignInProps, 'onSignedIn'> & { onForgotten: () => void }) {
  const form = useForm(['username', 'password'], async (values) => {
    onSignedIn(await login(values.text('username'), values.raw('password')));
  });
  return (
    <form onSubmit={form.onSubmit} data-testid="signin-form" className="flex flex-col gap-4">
      <Username error={form.fields.username} />
      <Field
        label="Password"
        name="password"
        type="password"
        data-testid="password"
        autoComplete="current-password"
        required
        error={form.fields.password}
      />
      <FormError text={form.problem?.text} />
      <Button type="submit" tone="primary" busy={form.busy} data-testid="submit" size="large" className="mt-1">
        Sign in
      </Button>
      <button
        type="button"
        data-testid="forgotten"
        onClick={onForgotten}
        className="self-center text-[13.5px] text-ink-soft underline-offset-2 hover:underline"
      >
        Forgot your password?
      </button>
    </form>
  );
}

interface SignUpFormProps {
  options?: SignInOptions;
  inviteToken?: string;
  onSignedIn: (session: Session) => void;
}

const SIGN_UP = ['username', 'display_name', 'password', 'email', 'setup_token'];

/** Also behind an invitation, whose token goes with it. */
export function SignUpForm({ options, inviteToken, onSignedIn }: SignUpFormProps) {
  const form = useForm(SIGN_UP, async (values) => {
    const registration = {
      username: values.text('username'),
      password: values.raw('password'),
      displayName: values.text('display_name'),
      email: values.text('email'),
      setupToken: values.text('setup_token'),
    };
    onSignedIn(await register({ ...registration, inviteToken }));
  });
  const asked = form.problem?.reason === 'SETUP_TOKEN_REQUIRED';
  const [askForToken, setAskForToken] = useState(false);
  if (asked && !askForToken) setAskForToken(true);
  const { fields } = form;
  return (
    <form onSubmit={form.onSubmit} data-testid="signup-form" className="flex flex-col gap-4">
      {!inviteToken && <Hint options={options} />}
      <Username error={fields.username} />
      <Field
        label="Your name"
        name="display_name"
        data-testid="display-name"
        autoComplete="name"
        placeholder="As others see it"
        error={fields.display_name}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        data-testid="password"
        autoComplete="new-password"
        required
        hint="At least 8 characters."
        error={fields.password}
      />
      <Field
        label="Mail address"
        name="email"
        type="email"
        data-testid="signup-email"
        autoComplete="email"
        placeholder="Optional"
        error={fields.email}
      />
      {(askForToken || options?.setupTokenRequired) && (
        <Field
          label="Setup token"
          name="setup_token"
          data-testid="setup-token"
          autoComplete="off"
          hint="The server printed it when it started for the first time."
          error={fields.setup_token}
        />
      )}
      <FormError text={form.problem?.text} />
      <Button type="submit" tone="primary" busy={form.busy} data-testid="submit" size="large" className="mt-1">
        Create account
      </Button>
    </form>
  );
}

function Username({ error }: { error: string | undefined }) {
  return (
    <Field
      label="Username"
      name="username"
      data-testid="username"
      autoComplete="username"
      autoCapitalize="none"
      spellCheck={false}
      autoFocus
      required
      error={error}
    />
  );
}

function Hint({ options }: { options: SignInOptions | undefined }) {
  if (!options) return null;
  const texts = {
    open: '',
    invite: 'You need an invitation to register here. If you have one, open its link.',
    closed: 'Nobody can register here by themselves. Ask an administrator for an account.',
  };
  const text = options.firstAccount
    ? 'There is no account yet: yours will own this workspace.'
    : texts[options.registration];
  return text ? (
    <p data-testid="signup-hint" className="rounded-lg bg-loquat-soft px-3 py-2 text-sm">
      {text}
    </p>
  ) : null;
}

function ModeTabs({ mode, onChange }: { mode: Mode; onChange: (mode: Mode) => void }) {
  const tabs = [
    ['in', 'Sign in', 'mode-signin'],
    ['up', 'Create account', 'mode-signup'],
  ] as const;
  return (
    <div className="mb-5 grid grid-cols-2 gap-1 rounded-xl bg-sunken p-1">
      {tabs.map(([value, label, testId]) => (
        <button
          key={value}
          type="button"
          data-testid={testId}
          aria-pressed={mode === value}
          onClick={() => onChange(value)}
          className={cx(
            'h-8 rounded-lg font-medium text-sm transition-colors',
            mode === value ? 'bg-raised text-ink shadow-sm' : 'text-ink-soft hover:text-ink',
          )}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
