/** Whether somebody is signed in, and what is shown then. */
import { lazy, Suspense, useCallback, useEffect, useState } from 'react';
import { ApiError, describeError } from '../api/errors';
import { logout, refresh, type Session } from '../api/session';
import { Invitation } from '../features/auth/Invitation';
import { ResetPassword } from '../features/auth/ResetPassword';
import { SignIn } from '../features/auth/SignIn';
import { Button } from '../ui/Button';
import { Logo } from '../ui/Logo';
import { Toasts } from '../ui/Toasts';
import { dropDrafts } from './drafts';
import { type Engine, startEngine } from './engine';
import { EngineContext, useCell } from './hooks';
import { openRoom, route } from './route';
import { dismiss, notify, toasts } from './toasts';

// On its way while we ask whether somebody is signed in; the door does not wait for it.
const workspace = import('./Workspace');
const Workspace = lazy(async () => ({ default: (await workspace).Workspace }));

type Screen =
  | { readonly type: 'starting'; readonly problem?: string }
  | { readonly type: 'signed-out'; readonly notice?: string }
  | { readonly type: 'signed-in'; readonly engine: Engine };

function useScreen() {
  const [screen, setScreen] = useState<Screen>({ type: 'starting' });
  const signedIn = useCallback((session: Session) => {
    const engine = startEngine(session, () => {
      engine.stop();
      setScreen({ type: 'signed-out', notice: 'Your session has ended. Sign in to go on.' });
    });
    setScreen({ type: 'signed-in', engine });
  }, []);
  const start = useCallback(async () => {
    setScreen({ type: 'starting' });
    try {
      signedIn(await refresh());
    } catch (cause) {
      const signedOut = cause instanceof ApiError && cause.code === 'unauthenticated';
      setScreen(signedOut ? { type: 'signed-out' } : { type: 'starting', problem: describeError(cause) });
    }
  }, [signedIn]);
  const signOut = useCallback(async (engine: Engine) => {
    try {
      await logout();
    } catch (cause) {
      return notify(describeError(cause), 'error');
    }
    engine.uploads.forget();
    engine.stop();
    dropDrafts();
    openRoom(undefined, true);
    setScreen({ type: 'signed-out' });
  }, []);
  return { screen, signedIn, start, signOut };
}

export function App() {
  const { screen, signedIn, start, signOut } = useScreen();
  const shown = useCell(toasts);
  const where = useCell(route);
  const [hasAccount, setHasAccount] = useState(false);
  // Whoever sets a new password is signed out everywhere: it matters to nobody who is signed in here.
  const resetting = where.page === 'reset';
  useEffect(() => void start(), [start]);
  useEffect(() => {
    if (screen.type !== 'signed-in') document.title = 'Loquat';
  }, [screen.type]);
  const registered = (session: Session) => {
    openRoom(undefined, true);
    signedIn(session);
  };
  const door =
    where.page === 'invite' && !hasAccount ? (
      <Invitation token={where.token} onSignedIn={registered} onSignIn={() => setHasAccount(true)} />
    ) : (
      <SignIn notice={screen.type === 'signed-out' ? screen.notice : undefined} onSignedIn={signedIn} />
    );
  return (
    <>
      {resetting && <ResetPassword token={where.token} onDone={() => openRoom(undefined, true)} />}
      {!resetting && screen.type === 'starting' && <Starting problem={screen.problem} onRetry={() => void start()} />}
      {!resetting && screen.type === 'signed-out' && door}
      {!resetting && screen.type === 'signed-in' && (
        <EngineContext value={screen.engine}>
          <Suspense fallback={<Starting onRetry={() => {}} />}>
            <Workspace onSignOut={() => void signOut(screen.engine)} />
          </Suspense>
        </EngineContext>
      )}
      <Toasts toasts={shown} onDismiss={dismiss} />
    </>
  );
}

function Starting({ problem, onRetry }: { problem?: string; onRetry: () => void }) {
  return (
    <main className="grid h-full place-items-center">
      <div className="flex flex-col items-center gap-4 text-ink-soft">
        <Logo size={56} />
        {problem && (
          <>
            <p role="alert">{problem}</p>
            <Button onClick={onRetry}>Try again</Button>
          </>
        )}
      </div>
    </main>
  );
}
