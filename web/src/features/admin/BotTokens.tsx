import { Plus } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { telling } from '../../app/toasts';
import type { TokenWish } from '../../model/account';
import { administers } from '../../model/admin';
import type { User } from '../../model/types';
import { Button } from '../../ui/Button';
import { ListState } from '../../ui/Notices';
import { Secret } from '../../ui/Secret';
import { TokenForm } from '../shared/TokenForm';
import { TokenList } from '../shared/TokenList';

export function BotTokens({ bot }: { bot: User }) {
  const { admin } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => admin.botTokens(bot.id), [admin, bot.id]));
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState('');
  const create = async (wish: TokenWish) => {
    setSecret((await admin.createBotToken(bot.id, wish)).secret);
    setCreating(false);
    reload();
  };
  const revoke = async (tokenId: string) => {
    if (await telling(admin.revokeBotToken(bot.id, tokenId).then(() => true))) reload();
  };
  return (
    <div className="mt-4 flex flex-col gap-3">
      {secret && (
        <Secret
          title={`The new token of ${bot.displayName}`}
          text="Copy it now: it is not shown again."
          value={secret}
          testId="token-secret"
          onDone={() => setSecret('')}
        />
      )}
      <ListState count={value?.length} error={error} onRetry={reload} empty="It has no token, and cannot sign in.">
        <TokenList tokens={value ?? []} onRevoke={(token) => void revoke(token.id)} />
      </ListState>
      <Button size="small" className="self-start" data-testid="token-new" onClick={() => setCreating(true)}>
        <Plus size={15} /> New token
      </Button>
      {creating && (
        <TokenForm
          title={`New token for ${bot.displayName}`}
          administers={administers(bot.role)}
          onClose={() => setCreating(false)}
          onCreate={create}
        />
      )}
    </div>
  );
}
