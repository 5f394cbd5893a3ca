import { Plus } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine, useMe } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { telling } from '../../app/toasts';
import type { TokenWish } from '../../model/account';
import { Button } from '../../ui/Button';
import { ListState } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Secret } from '../../ui/Secret';
import { TokenForm } from '../shared/TokenForm';
import { TokenList } from '../shared/TokenList';

export function Tokens() {
  const { account } = useEngine();
  const me = useMe();
  const { value, error, reload } = useLoad(useCallback(() => account.tokens(), [account]));
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState('');
  const create = async (wish: TokenWish) => {
    const made = await account.createToken(wish);
    setSecret(made.secret);
    setCreating(false);
    reload();
  };
  const revoke = async (tokenId: string) => {
    if (await telling(account.revokeToken(tokenId).then(() => true))) reload();
  };
  const actions = (
    <Button tone="primary" size="small" data-testid="token-new" onClick={() => setCreating(true)}>
      <Plus size={15} /> New token
    </Button>
  );
  const text = 'With one, your own programs do what you may do and its scopes allow.';
  return (
    <Section title="Access tokens" text={text} actions={actions}>
      {secret && (
        <Secret
          title="Your new token"
          text="Copy it now: it is not shown again."
          value={secret}
          testId="token-secret"
          onDone={() => setSecret('')}
        />
      )}
      <ListState count={value?.length} error={error} onRetry={reload} empty="You have no access token.">
        <TokenList tokens={value ?? []} onRevoke={(token) => void revoke(token.id)} />
      </ListState>
      {creating && (
        <TokenForm
          title="New access token"
          administers={me.role === 'owner' || me.role === 'admin'}
          onClose={() => setCreating(false)}
          onCreate={create}
        />
      )}
    </Section>
  );
}
