import { useState } from 'react';
import type { AccessToken } from '../../model/account';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { Card } from '../../ui/Page';
import { Tag } from '../../ui/Table';
import { When } from './When';

interface TokenListProps {
  tokens: readonly AccessToken[];
  onRevoke: (token: AccessToken) => void;
}

export function TokenList({ tokens, onRevoke }: TokenListProps) {
  const [asking, setAsking] = useState<AccessToken>();
  return (
    <Card>
      <ul className="divide-y divide-line">
        {tokens.map((token) => (
          <li key={token.id} data-testid="token-item" className="flex items-start gap-3 px-4 py-3">
            <div className="min-w-0 flex-1">
              <p className="truncate font-medium text-sm">{token.name}</p>
              <p className="text-[13px] text-ink-faint">
                ends <When at={token.expiresAt} /> · used <When at={token.lastUsedAt} />
                {token.lastAddress && ` from ${token.lastAddress}`} · made <When at={token.createdAt} />
              </p>
              <p className="mt-1.5 flex flex-wrap gap-1">
                {token.scopes.map((scope) => (
                  <Tag key={scope}>{scope}</Tag>
                ))}
              </p>
            </div>
            <Button
              size="small"
              data-testid="token-revoke"
              aria-label={`Revoke ${token.name}`}
              onClick={() => setAsking(token)}
            >
              Revoke
            </Button>
          </li>
        ))}
      </ul>
      {asking && (
        <Confirm
          title={`Revoke ${asking.name}?`}
          text="Whatever uses it is signed out within a second. This cannot be undone."
          action="Revoke"
          onConfirm={() => onRevoke(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Card>
  );
}
