/** An invitation opened by somebody who is signed in. */
import { useState } from 'react';
import { describeError } from '../../api/errors';
import { useEngine } from '../../app/hooks';
import { notify } from '../../app/toasts';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Failed, FormError, Waiting } from '../../ui/Notices';
import { InviteOffer, usePreview } from './Invitation';

interface AcceptInviteProps {
  token: string;
  onClose: () => void;
  onAccepted: (roomId: string | undefined) => void;
}

export function AcceptInvite({ token, onClose, onAccepted }: AcceptInviteProps) {
  const { account } = useEngine();
  const { value, error, reload } = usePreview(token);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const accept = async () => {
    setBusy(true);
    setProblem('');
    try {
      const roomIds = await account.acceptInvite(token);
      notify('You are being added to the rooms.');
      onAccepted(roomIds[0]);
    } catch (cause) {
      setProblem(describeError(cause));
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title="You are invited" testId="invite-dialog">
      <div className="flex flex-col gap-4 px-5 pb-5">
        {error && <Failed text={error} onRetry={reload} />}
        {!value && !error && <Waiting text="Opening the invitation…" />}
        {value && <InviteOffer preview={value} joined />}
        <FormError text={problem} />
        <div className="flex justify-end gap-2">
          <Button tone="quiet" onClick={onClose}>
            Not now
          </Button>
          {value && value.rooms > 0 && (
            <Button tone="primary" busy={busy} data-testid="invite-accept" onClick={() => void accept()}>
              Join
            </Button>
          )}
        </div>
      </div>
    </Dialog>
  );
}
