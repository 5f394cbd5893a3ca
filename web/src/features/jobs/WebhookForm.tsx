import { useCallback } from 'react';
import { useForm } from '../../app/forms';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { Button } from '../../ui/Button';
import { Checks } from '../../ui/Checks';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Select } from '../../ui/Select';

const EVENTS = [
  { value: 'message_posted', label: 'A message was posted' },
  { value: 'message_edited', label: 'A message was edited' },
  { value: 'message_deleted', label: 'A message was deleted' },
] as const;

interface WebhookFormProps {
  onClose: () => void;
  onCreated: (secret: string) => void;
}

export function WebhookForm({ onClose, onCreated }: WebhookFormProps) {
  const { jobs, chat } = useEngine();
  // Without the list one can still be told of everything.
  const { value: rooms } = useLoad(useCallback(() => chat.listRooms(), [chat]));
  const form = useForm(['url', 'room_id', 'events'], async (values) => {
    const wish = { url: values.text('url'), roomId: values.text('room_id'), events: values.all('events') };
    onCreated(await jobs.createWebhook(wish));
  });
  const options = [['', 'All rooms'], ...(rooms ?? []).map((room) => [room.id, room.name] as const)] as const;
  return (
    <Dialog open onClose={onClose} title="New webhook" testId="webhook-form">
      <form onSubmit={form.onSubmit} className="flex flex-col gap-4 overflow-y-auto px-5 pt-1 pb-5">
        <Field
          label="Where requests go"
          name="url"
          type="url"
          data-testid="webhook-url"
          required
          autoFocus
          maxLength={2000}
          placeholder="https://example.org/hook"
          error={form.fields.url}
        />
        <Select label="What happens in" name="room_id" options={options} error={form.fields.room_id} />
        <Checks
          legend="It is told when"
          name="events"
          choices={EVENTS}
          chosen={['message_posted']}
          error={form.fields.events}
        />
        <FormError text={form.problem?.text} />
        <div className="flex justify-end gap-2">
          <Button tone="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" tone="primary" busy={form.busy} data-testid="webhook-create">
            Create webhook
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
