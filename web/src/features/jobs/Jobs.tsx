/** Every queue, what failed in it, and the jobs that wait for their time; live. */
import { useEffect, useState } from 'react';
import { describeError } from '../../api/errors';
import { useEngine } from '../../app/hooks';
import { addSample, type Sample, sampleOf, type Watched } from '../../model/jobs';
import { Empty, Waiting } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Chart } from './Chart';
import { FailedMessages } from './FailedMessages';
import { PlannedJobs } from './PlannedJobs';
import { Queues } from './Queues';

function useWatched() {
  const { jobs } = useEngine();
  const [watched, setWatched] = useState<Watched>();
  const [samples, setSamples] = useState<readonly Sample[]>([]);
  const [trouble, setTrouble] = useState('');
  useEffect(() => {
    const stop = new AbortController();
    const onWatched = (next: Watched) => {
      setWatched(next);
      setSamples((held) => addSample(held, sampleOf(next)));
    };
    const onTrouble = (cause: unknown) => setTrouble(cause ? describeError(cause) : '');
    void jobs.watch({ onWatched, onTrouble }, stop.signal);
    return () => stop.abort();
  }, [jobs]);
  return { watched, samples, trouble };
}

export function Jobs() {
  const { watched, samples, trouble } = useWatched();
  const [queue, setQueue] = useState('');
  const broken = trouble || (watched && !watched.available ? watched.problem || 'The bus does not answer.' : '');
  const failedCount = watched?.queues.reduce((sum, { failed, skipped }) => sum + failed + skipped, 0);
  return (
    <>
      <Section title="Queues" text="Messages between the services, as they are now.">
        {broken && (
          <p role="alert" data-testid="bus-problem" className="rounded-lg bg-danger-soft px-3 py-2 text-danger text-sm">
            {broken} {watched && 'What is shown was known last.'}
          </p>
        )}
        {!watched && !broken && <Waiting text="Looking at the queues…" />}
        {watched && <Chart samples={samples} />}
        {watched && watched.queues.length === 0 && <Empty>There is no queue yet.</Empty>}
        {watched && watched.queues.length > 0 && <Queues watched={watched} chosen={queue} onChoose={setQueue} />}
      </Section>
      <FailedMessages
        queue={queue}
        queues={watched?.queues.map(({ name }) => name) ?? []}
        count={failedCount}
        onQueue={setQueue}
      />
      {watched && <PlannedJobs jobs={watched.jobs} />}
    </>
  );
}
