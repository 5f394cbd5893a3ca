/** Which programs may post into a room: each with an address, which is shown once. */
import { Trash2 } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useForm } from '../../app/forms';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { telling } from '../../app/toasts';
import type { IncomingWebhook } from '../../model/hooks';
import { Button, IconButton } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { Field } from '../../ui/Field';
import { FormError, ListState } from '../../ui/Notices';
import { Secret } from '../../ui/Secret';
import { NameOf } from '../shared/Person';
import { When } from '../shared/When';

interface RoomWebhooksProps {
  roomId: string;
  /** Whether one may make further ones; otherwise those that are there can be seen and deleted. */
  mayAdd: boolean;
}

export function RoomWebhooks({ roomId, mayAdd }: RoomWebhooksProps) {
  const { incoming } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => incoming.list(roomId), [incoming, roomId]));
  const [url, setUrl] = useState('');
  const [asking, setAsking] = useState<IncomingWebhook>();
  const remove = async ({ id }: IncomingWebhook) => {
    if (await telling(incoming.remove(roomId, id).then(() => true))) reload();
  };
  return (
    <section aria-label="Incoming webhooks" className="flex flex-col gap-3 border-line border-t px-5 pt-4 pb-5">
      <div>
        <h3 className="font-medium text-sm">Incoming webhooks</h3>
        <p className="mt-0.5 text-[13px] text-ink-soft">Whoever knows the address of one may post here with it.</p>
      </div>
      {url && (
        <Secret
          title="Where to post"
          text="Copy it now: it is not shown again."
          value={url}
          testId="hook-url"
          onDone={() => setUrl('')}
        />
      )}
      <ListState count={value?.length} error={error} onRetry={reload} empty="No program posts here yet.">
        <ul className="flex flex-col gap-1">
          {value?.map((webhook) => (
            <li key={webhook.id} data-testid="hook-item" className="flex items-center gap-2 text-sm">
              <span className="min-w-0 flex-1 truncate">
                <span className="font-medium">{webhook.name}</span>{' '}
                <span className="text-[13px] text-ink-faint">
                  made by <NameOf id={webhook.createdBy} /> <When at={webhook.createdAt} />
                </span>
              </span>
              <IconButton
                label={`Delete ${webhook.name}`}
                size="small"
                data-testid="hook-delete"
                onClick={() => setAsking(webhook)}
              >
                <Trash2 size={15} />
              </IconButton>
            </li>
          ))}
        </ul>
      </ListState>
      {mayAdd && (
        <NewWebhook
          roomId={roomId}
          onCreated={(next) => {
            setUrl(next);
            reload();
          }}
        />
      )}
      {asking && (
        <Confirm
          title={`Delete ${asking.name}?`}
          text="Its address is none from then on. What it posted stays."
          action="Delete"
          onConfirm={() => void remove(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </section>
  );
}

function NewWebhook({ roomId, onCreated }: { roomId: string; onCreated: (url: string) => void }) {
  const { incoming } = useEngine();
  const form = useForm(['name'], async (values, element) => {
    onCreated(await incoming.create(roomId, values.text('name')));
    element.reset();
  });
  return (
    <form onSubmit={form.onSubmit} className="flex flex-col gap-3">
      <Field
        label="Name of a new one"
        name="name"
        data-testid="hook-name"
        required
        maxLength={80}
        placeholder="Build server"
        error={form.fields.name}
      />
      <FormError text={form.problem?.text} />
      <div className="flex justify-end">
        <Button type="submit" size="small" busy={form.busy} data-testid="hook-create">
          Create webhook
        </Button>
      </div>
    </form>
  );
}
