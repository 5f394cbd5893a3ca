/** What is shown where a room would be. */
import { Compass, Plus } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from '../ui/Button';
import { Logo } from '../ui/Logo';
import { useMe, useModel } from './hooks';

const PATIENCE_MS = 2500;

interface NoRoomProps {
  roomId: string | undefined;
  onSidebar: () => void;
  onCreate: () => void;
  onBrowse: () => void;
}

export function NoRoom({ roomId, onSidebar, onCreate, onBrowse }: NoRoomProps) {
  const caughtUp = useModel((state) => state.caughtUp);
  const empty = useModel((state) => Object.keys(state.rooms).length === 0);
  const late = useLate(caughtUp ? roomId : undefined);
  const welcome = caughtUp && !roomId && empty;
  return (
    <div className="grid flex-1 place-items-center p-6">
      <div className="flex animate-fade flex-col items-center gap-4 text-center text-ink-soft">
        <Logo size={64} />
        {welcome && <Welcome onCreate={onCreate} onBrowse={onBrowse} />}
        {late && <p className="max-w-xs">This room does not exist, or you are not in it.</p>}
        <Button className="md:hidden" onClick={onSidebar}>
          Show rooms
        </Button>
      </div>
    </div>
  );
}

function Welcome({ onCreate, onBrowse }: Pick<NoRoomProps, 'onCreate' | 'onBrowse'>) {
  const me = useMe();
  if (me.role === 'guest')
    return <p className="max-w-sm">Welcome, {me.displayName}. Somebody has to add you to a room.</p>;
  return (
    <>
      <div>
        <h2 className="font-bold font-display text-2xl text-ink">Welcome, {me.displayName}</h2>
        <p className="mt-1 max-w-sm">Conversations live in rooms. Begin one, or see what the others talk about.</p>
      </div>
      <div className="flex flex-wrap justify-center gap-2">
        <Button tone="primary" size="large" onClick={onCreate} data-testid="welcome-create">
          <Plus size={17} /> New room
        </Button>
        <Button size="large" onClick={onBrowse} data-testid="welcome-browse">
          <Compass size={17} /> Browse rooms
        </Button>
      </div>
    </>
  );
}

/** A room that was just made or joined is on its way for a moment. */
function useLate(roomId: string | undefined): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!roomId) return;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [roomId]);
  return late;
}
