import { avatarUrls } from '../../api/files';
import { useUser } from '../../app/hooks';
import type { User } from '../../model/types';
import { Avatar } from '../../ui/Avatar';
import { Tag } from '../../ui/Table';

/** Somebody in a list: their picture, name and username. */
export function Person({ user, note }: { user: User; note?: string }) {
  return (
    <span className="flex min-w-0 items-center gap-2.5">
      <Avatar id={user.id} name={user.displayName} pictures={avatarUrls(user.avatarFileId)} />
      <span className="min-w-0 leading-tight">
        <span className="flex items-center gap-1.5 font-medium">
          <span className="max-w-56 truncate">{user.displayName}</span>
          {note && <span className="font-normal text-ink-faint">{note}</span>}
          {user.bot && <Tag>Bot</Tag>}
          {user.disabled && <Tag tone="bad">Disabled</Tag>}
        </span>
        <span className="block max-w-64 truncate text-[12.5px] text-ink-faint">@{user.username}</span>
      </span>
    </span>
  );
}

/** Who is behind an id, by name; the beginning of the id when it is nobody's. */
export function NameOf({ id, nobody = '—' }: { id: string; nobody?: string }) {
  const user = useUser(id);
  if (!id) return <span className="text-ink-faint">{nobody}</span>;
  if (user) return <span title={`@${user.username}`}>{user.displayName}</span>;
  return (
    <span title={id} className="font-mono text-[12px] text-ink-soft">
      {id.slice(0, 8)}…
    </span>
  );
}
