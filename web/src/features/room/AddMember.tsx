import { UserPlus } from 'lucide-react';
import { useEffect, useState } from 'react';
import { avatarUrls } from '../../api/files';
import { useEngine } from '../../app/hooks';
import { telling } from '../../app/toasts';
import type { Member, Room, User } from '../../model/types';
import { Avatar } from '../../ui/Avatar';

const PAUSE_MS = 150;

/** People whose name begins with what was typed, once the typing pauses. */
function useSearch(query: string): readonly User[] {
  const { chat, directory } = useEngine();
  const [found, setFound] = useState<readonly User[]>([]);
  useEffect(() => {
    if (!query) {
      setFound([]);
      return;
    }
    let current = true;
    const timer = setTimeout(async () => {
      const users = await telling(chat.searchUsers(query));
      if (!users || !current) return;
      directory.learn(users);
      setFound(users);
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query, chat, directory]);
  return found;
}

export function AddMember({ room, members }: { room: Room; members: readonly Member[] }) {
  const { chat } = useEngine();
  const [query, setQuery] = useState('');
  const inside = new Set(members.map((member) => member.userId));
  const found = useSearch(query.trim()).filter((user) => !inside.has(user.id) && !user.disabled);
  const add = async (user: User) => {
    if (await telling(chat.addMember(room.id, user.id).then(() => true))) setQuery('');
  };
  return (
    <div className="border-line border-b px-4 py-3">
      <input
        type="search"
        data-testid="add-member-input"
        aria-label="Add somebody"
        placeholder="Add somebody…"
        autoComplete="off"
        value={query}
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          const first = found[0];
          if (event.key === 'Enter' && first) void add(first);
        }}
        className="h-9 w-full rounded-lg border border-line bg-raised px-3 text-sm placeholder:text-ink-faint"
      />
      {found.length > 0 && (
        <>
          <ul className="mt-2 flex max-h-56 flex-col overflow-y-auto">
            {found.map((user) => (
              <li key={user.id}>
                <button
                  type="button"
                  data-testid="add-member-option"
                  onClick={() => void add(user)}
                  className="flex w-full items-center gap-2.5 rounded-lg px-2 py-1.5 text-left hover:bg-sunken"
                >
                  <Avatar id={user.id} name={user.displayName} pictures={avatarUrls(user.avatarFileId)} size="small" />
                  <span className="min-w-0 flex-1 truncate text-sm">
                    {user.displayName} <span className="text-ink-faint">@{user.username}</span>
                  </span>
                  <UserPlus size={15} className="text-ink-faint" />
                </button>
              </li>
            ))}
          </ul>
          {room.history === 'all' && (
            <p className="mt-1.5 px-2 text-[12.5px] text-ink-faint">
              New members can read everything that was said before.
            </p>
          )}
        </>
      )}
    </div>
  );
}
