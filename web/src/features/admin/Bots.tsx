import { Plus } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { telling } from '../../app/toasts';
import { ROLE_NAMES } from '../../model/admin';
import type { User } from '../../model/types';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { ListState, More } from '../../ui/Notices';
import { Card, Section } from '../../ui/Page';
import { Tag } from '../../ui/Table';
import { Person } from '../shared/Person';
import { BotForm } from './BotForm';
import { BotTokens } from './BotTokens';

export function Bots() {
  const { admin } = useEngine();
  const pages = usePages(useCallback((from?: string) => admin.bots(from), [admin]));
  const [creating, setCreating] = useState(false);
  const [asking, setAsking] = useState<User>();
  const setDisabled = async (bot: User, disabled: boolean) => {
    const changed = await telling(admin.setBotDisabled(bot.id, disabled));
    if (changed) pages.change((items) => items.map((item) => (item.id === bot.id ? changed : item)));
  };
  const actions = (
    <Button tone="primary" size="small" data-testid="bot-new" onClick={() => setCreating(true)}>
      <Plus size={15} /> New bot
    </Button>
  );
  const text = 'Accounts of programs. They have no password, and sign in with access tokens only.';
  return (
    <Section title="Bots" text={text} actions={actions}>
      <ListState count={pages.items?.length} error={pages.error} onRetry={pages.reload} empty="There is no bot yet.">
        <ul className="flex flex-col gap-3">
          {pages.items?.map((bot) => (
            <BotItem
              key={bot.id}
              bot={bot}
              onDisable={() => setAsking(bot)}
              onEnable={() => void setDisabled(bot, false)}
            />
          ))}
        </ul>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
      {creating && (
        <BotForm
          onClose={() => setCreating(false)}
          onCreated={() => {
            setCreating(false);
            pages.reload();
          }}
        />
      )}
      {asking && (
        <Confirm
          title={`Disable ${asking.displayName}?`}
          text="It is stopped within a second, and cannot sign in any more. What it wrote stays."
          action="Disable"
          onConfirm={() => void setDisabled(asking, true)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Section>
  );
}

function BotItem({ bot, onDisable, onEnable }: { bot: User; onDisable: () => void; onEnable: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <li data-testid="bot-item" data-disabled={bot.disabled}>
      <Card className="p-4">
        <div className="flex flex-wrap items-center gap-3">
          <div className="min-w-0 flex-1 basis-48">
            <Person user={bot} />
          </div>
          <Tag>{ROLE_NAMES[bot.role]}</Tag>
          <Button size="small" data-testid="bot-tokens" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? 'Hide tokens' : 'Tokens'}
          </Button>
          {bot.disabled ? (
            <Button size="small" data-testid="bot-enable" onClick={onEnable}>
              Enable
            </Button>
          ) : (
            <Button size="small" data-testid="bot-disable" onClick={onDisable}>
              Disable
            </Button>
          )}
        </div>
        {open && <BotTokens bot={bot} />}
      </Card>
    </li>
  );
}
