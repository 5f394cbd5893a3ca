/** The door: sign in, or make an account. */
import { type FormEvent, useState } from 'react';
import { ApiError, describeError, sentence } from '../../api/errors';
import { login, register, type Session } from '../../api/session';
import { Button } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { Field } from '../../ui/Field';
import { Logo } from '../../ui/Logo';

type Mode = 'in' | 'up';

interface Problem {
  readonly text: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly reason: string;
}

function problemOf(cause: unknown): Problem {
  if (!(cause instanceof ApiError)) return { text: describeError(cause), fields: {}, reason: '' };
  const fields = Object.fromEntries(cause.violations.map((violation) => [violation.field, sentence(violation)]));
  if (cause.reason === 'USERNAME_TAKEN') fields.username ??= cause.message;
  return { text: Object.keys(fields).length > 0 ? '' : cause.message, fields, reason: cause.reason };
}

function useSignIn(mode: Mode, onSignedIn: (session: Session) => void) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const values = new FormData(event.currentTarget);
    const value = (name: string) => String(values.get(name) ?? '');
    setBusy(true);
    setProblem(undefined);
    try {
      const username = value('username').trim();
      const password = value('password');
      const registration = { username, password, displayName: value('display_name').trim() };
      const started =
        mode === 'in'
          ? login(username, password)
          : register({ ...registration, setupToken: value('setup_token').trim() });
      onSignedIn(await started);
    } catch (cause) {
      setProblem(problemOf(cause));
      setBusy(false);
    }
  };
  return { busy, problem, submit, clear: () => setProblem(undefined) };
}

export function SignIn({ notice, onSignedIn }: { notice?: string; onSignedIn: (session: Session) => void }) {
  const [mode, setMode] = useState<Mode>('in');
  const { busy, problem, submit, clear } = useSignIn(mode, onSignedIn);
  const [askForToken, setAskForToken] = useState(false);
  if (problem?.reason === 'SETUP_TOKEN_REQUIRED' && !askForToken) setAskForToken(true);
  const switchTo = (next: Mode) => {
    clear();
    setMode(next);
  };
  return (
    <main className="relative isolate grid h-full place-items-center overflow-y-auto overflow-x-hidden bg-leaf p-4">
      <Orchard />
      <div className="w-full max-w-[400px]">
        <div className="mb-6 flex items-center justify-center gap-2.5">
          <Logo size={44} />
          <h1 className="font-bold font-display text-[32px] text-leaf-ink tracking-tight">Loquat</h1>
        </div>
        <div className="rounded-2xl border border-line bg-paper p-6 shadow-float sm:p-7">
          <ModeTabs mode={mode} onChange={switchTo} />
          {notice && <p className="mb-4 rounded-lg bg-loquat-soft px-3 py-2 text-sm">{notice}</p>}
          <form
            key={mode}
            onSubmit={submit}
            data-testid={mode === 'in' ? 'signin-form' : 'signup-form'}
            className="flex flex-col gap-4"
          >
            <Field
              label="Username"
              name="username"
              data-testid="username"
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              autoFocus
              required
              error={problem?.fields.username}
            />
            {mode === 'up' && (
              <Field
                label="Your name"
                name="display_name"
                data-testid="display-name"
                autoComplete="name"
                placeholder="As others see it"
                error={problem?.fields.display_name}
              />
            )}
            <Field
              label="Password"
              name="password"
              type="password"
              data-testid="password"
              autoComplete={mode === 'in' ? 'current-password' : 'new-password'}
              required
              hint={mode === 'up' ? 'At least 8 characters.' : undefined}
              error={problem?.fields.password}
            />
            {mode === 'up' && askForToken && (
              <Field
                label="Setup token"
                name="setup_token"
                data-testid="setup-token"
                autoComplete="off"
                hint="The server printed it when it started for the first time."
                error={problem?.fields.setup_token}
              />
            )}
            {problem?.text && (
              <p
                role="alert"
                data-testid="form-error"
                className="rounded-lg bg-danger-soft px-3 py-2 text-danger text-sm"
              >
                {problem.text}
              </p>
            )}
            <Button type="submit" tone="primary" busy={busy} data-testid="submit" size="large" className="mt-1">
              {mode === 'in' ? 'Sign in' : 'Create account'}
            </Button>
          </form>
        </div>
        <p className="mt-5 text-center text-[13.5px] text-leaf-ink-soft">
          Your team's conversations, on your own server.
        </p>
      </div>
    </main>
  );
}

/** Fruit at the edges, behind everything. */
function Orchard() {
  return (
    <div aria-hidden="true" className="pointer-events-none absolute inset-0 -z-10 overflow-hidden">
      <span className="absolute -bottom-40 -left-32 rotate-[-14deg] opacity-20">
        <Logo size={520} />
      </span>
      <span className="absolute -top-36 -right-28 rotate-[24deg] opacity-15 max-sm:hidden">
        <Logo size={420} />
      </span>
    </div>
  );
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
