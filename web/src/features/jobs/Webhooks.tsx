import { Plus } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine, useModel } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { telling } from '../../app/toasts';
import type { Webhook } from '../../model/jobs';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { ListState } from '../../ui/Notices';
import { Card, Section } from '../../ui/Page';
import { Secret } from '../../ui/Secret';
import { Tag } from '../../ui/Table';
import { NameOf } from '../shared/Person';
import { When } from '../shared/When';
import { Deliveries } from './Deliveries';
import { WebhookForm } from './WebhookForm';

export function Webhooks() {
  const { jobs } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => jobs.webhooks(), [jobs]));
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState('');
  const [asking, setAsking] = useState<Webhook>();
  const remove = async ({ id }: Webhook) => {
    if (await telling(jobs.deleteWebhook(id).then(() => true))) reload();
  };
  const actions = (
    <Button tone="primary" size="small" data-testid="webhook-new" onClick={() => setCreating(true)}>
      <Plus size={15} /> New webhook
    </Button>
  );
  return (
    <Section
      title="Webhooks"
      text="Other programs are told of what happens, by signed HTTP requests."
      actions={actions}
    >
      {secret && (
        <Secret
          title="What requests are signed with"
          text="Copy it now: it is not shown again."
          value={secret}
          testId="webhook-secret"
          onDone={() => setSecret('')}
        />
      )}
      <ListState count={value?.length} error={error} onRetry={reload} empty="No program is told of anything yet.">
        <ul className="flex flex-col gap-3">
          {value?.map((webhook) => (
            <WebhookItem key={webhook.id} webhook={webhook} onDelete={() => setAsking(webhook)} />
          ))}
        </ul>
      </ListState>
      {creating && (
        <WebhookForm
          onClose={() => setCreating(false)}
          onCreated={(next) => {
            setCreating(false);
            setSecret(next);
            reload();
          }}
        />
      )}
      {asking && (
        <Confirm
          title="Delete this webhook?"
          text="Nothing more is sent there, and its log is deleted."
          action="Delete"
          onConfirm={() => void remove(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Section>
  );
}

function WebhookItem({ webhook, onDelete }: { webhook: Webhook; onDelete: () => void }) {
  const [open, setOpen] = useState(false);
  const room = useModel((state) => state.rooms[webhook.roomId]?.room.name);
  const where = webhook.roomId ? (room ?? 'one room') : 'all rooms';
  return (
    <li data-testid="webhook-item">
      <Card className="p-4">
        <div className="flex flex-wrap items-center gap-3">
          <div className="min-w-0 flex-1 basis-60">
            <p className="break-all font-mono text-[13.5px]">{webhook.url}</p>
            <p className="mt-0.5 text-[13px] text-ink-faint">
              {where} · made by <NameOf id={webhook.createdBy} /> <When at={webhook.createdAt} />
            </p>
            <p className="mt-1.5 flex flex-wrap gap-1">
              {webhook.events.map((event) => (
                <Tag key={event}>{event}</Tag>
              ))}
            </p>
          </div>
          <Button size="small" aria-expanded={open} data-testid="webhook-log" onClick={() => setOpen(!open)}>
            {open ? 'Hide log' : 'Log'}
          </Button>
          <Button size="small" data-testid="webhook-delete" onClick={onDelete}>
            Delete
          </Button>
        </div>
        {open && <Deliveries webhookId={webhook.id} />}
      </Card>
    </li>
  );
}
