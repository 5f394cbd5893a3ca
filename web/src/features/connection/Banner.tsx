/** Says how it is with the connection, and nothing while all is well. */
import { CloudOff, RefreshCw } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useConnection, useEngine, useModel } from '../../app/hooks';

/** A short hiccup is not worth a word. */
const PATIENCE_MS = 700;

function useNow(until: number | undefined): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (until === undefined) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return now;
}

function useOnline(): boolean {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const update = () => setOnline(navigator.onLine);
    addEventListener('online', update);
    addEventListener('offline', update);
    return () => {
      removeEventListener('online', update);
      removeEventListener('offline', update);
    };
  }, []);
  return online;
}

/** False for a moment after `key` began to hold. */
function useAfterPatience(key: boolean): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    setOver(false);
    if (!key) return;
    const timer = setTimeout(() => setOver(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [key]);
  return key && over;
}

export function Banner() {
  const connection = useConnection();
  const online = useOnline();
  const waiting = useModel((state) => state.outbox.length);
  const { retryNow } = useEngine();
  const { phase } = connection;
  const away = phase === 'connecting' || phase === 'waiting';
  const late = useAfterPatience(phase !== 'live');
  const now = useNow(connection.phase === 'waiting' ? connection.retryAt : undefined);
  if (!late || phase === 'ended') return <output data-testid="banner" data-phase={phase} className="sr-only" />;
  const seconds = connection.phase === 'waiting' ? Math.max(1, Math.ceil((connection.retryAt - now) / 1000)) : 0;
  const kept = waiting > 0 ? `${waiting} ${waiting === 1 ? 'message waits' : 'messages wait'} to be sent` : '';
  return (
    <output
      data-testid="banner"
      data-phase={online ? phase : 'offline'}
      className="flex min-h-9 animate-fade flex-wrap items-center justify-center gap-x-2 border-line border-b bg-loquat-soft px-4 py-1.5 text-center text-[13.5px]"
    >
      {away && !online && (
        <>
          <CloudOff size={15} className="text-loquat-ink" />
          <span>Offline — your messages are kept and will be sent</span>
        </>
      )}
      {away && online && (
        <>
          <RefreshCw size={14} className="animate-spin text-loquat-ink [animation-duration:2.5s]" />
          <span>{seconds > 0 ? `Reconnecting in ${seconds} s` : 'Reconnecting…'}</span>
          {seconds > 0 && (
            <button
              type="button"
              data-testid="retry-now"
              onClick={retryNow}
              className="font-semibold text-loquat-ink underline underline-offset-2"
            >
              Retry now
            </button>
          )}
          {kept && <span className="text-ink-soft">· {kept}</span>}
        </>
      )}
      {phase === 'catching-up' && <span>Catching up…</span>}
    </output>
  );
}
