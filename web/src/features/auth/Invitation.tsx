/** The page behind an invitation: what it offers, and how to take it up, with or without an account. */
import { useCallback, useState } from 'react';
import type { Session } from '../../api/session';
import { type InvitePreview, previewInvite } from '../../app/door';
import { type Loaded, useLoad } from '../../app/loading';
import { Button } from '../../ui/Button';
import { Failed, Waiting } from '../../ui/Notices';
import { When } from '../shared/When';
import { Door } from './Door';
import { SignUpForm } from './SignIn';

const ROLES = { owner: 'an owner', admin: 'an administrator', member: 'a member', guest: 'a guest' } as const;

export function usePreview(token: string): Loaded<InvitePreview> {
  return useLoad(useCallback(() => previewInvite(token), [token]));
}

export function InviteOffer({ preview, joined }: { preview: InvitePreview; joined?: boolean }) {
  const { invitedBy, role, rooms, expiresAt } = preview;
  const where = rooms === 0 ? '' : rooms === 1 ? 'one room' : `${rooms} rooms`;
  return (
    <div data-testid="invite-offer">
      <p className="text-ink-soft">
        <strong className="text-ink">{invitedBy || 'Somebody'}</strong> invites you
        {joined ? (where ? ` into ${where}.` : '; you are in the workspace already.') : ` to be ${ROLES[role]} here`}
        {!joined && (where ? `, and into ${where}.` : '.')}
      </p>
      {expiresAt > 0 && (
        <p className="mt-1 text-[13px] text-ink-faint">
          The invitation ends <When at={expiresAt} />.
        </p>
      )}
    </div>
  );
}

interface InvitationProps {
  token: string;
  onSignedIn: (session: Session) => void;
  /** Somebody with an account signs in first, and comes back. */
  onSignIn: () => void;
}

export function Invitation({ token, onSignedIn, onSignIn }: InvitationProps) {
  const { value, error, reload } = usePreview(token);
  const [started, setStarted] = useState(false);
  return (
    <Door>
      <h2 className="mb-2 font-display font-semibold text-xl">You are invited</h2>
      {error && <Failed text={error} onRetry={reload} />}
      {!value && !error && <Waiting text="Opening the invitation…" />}
      {value && <InviteOffer preview={value} />}
      {value && started && (
        <div className="mt-5">
          <SignUpForm inviteToken={token} onSignedIn={onSignedIn} />
        </div>
      )}
      <div className="mt-5 flex flex-col gap-2">
        {value && !started && (
          <Button tone="primary" size="large" data-testid="invite-register" onClick={() => setStarted(true)}>
            Create an account
          </Button>
        )}
        <Button tone={value ? 'plain' : 'quiet'} data-testid="invite-signin" onClick={onSignIn}>
          {value ? 'I have an account' : 'Go to sign in'}
        </Button>
      </div>
    </Door>
  );
}
