import { useState } from 'react';
import { useEngine } from '../../app/hooks';
import { notify, telling } from '../../app/toasts';
import type { Job } from '../../model/jobs';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { Empty } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Cell, Table } from '../../ui/Table';
import { When } from '../shared/When';

const COLUMNS = ['Job', 'Plan (UTC)', 'Next', 'Last', 'Outcome', { text: 'Actions', hidden: true }];

export function PlannedJobs({ jobs: all }: { jobs: readonly Job[] }) {
  const { jobs } = useEngine();
  const [cancelling, setCancelling] = useState<Job>();
  const run = async (job: Job) => {
    if (await telling(jobs.run(job.id).then(() => true))) notify(`${job.name} runs within a second.`);
  };
  return (
    <Section title="Jobs" text="What comes back by a plan, and messages that were put off.">
      {all.length === 0 ? (
        <Empty>Nothing waits for its time.</Empty>
      ) : (
        <Table label="Jobs" columns={COLUMNS}>
          {all.map((job) => (
            <tr key={job.id} data-testid="job-row" data-job={job.id}>
              <Cell className="font-mono text-[13px]">
                {job.name.replace(/^urn:message:/, '')}
                {job.destination && <span className="block text-ink-faint">to {job.destination}</span>}
              </Cell>
              <Cell className="whitespace-nowrap font-mono text-[13px]">{job.cron || 'once'}</Cell>
              <Cell className="text-ink-soft">
                <When at={job.nextAt} />
              </Cell>
              <Cell className="text-ink-soft">
                <When at={job.lastAt} />
              </Cell>
              <Cell className="max-w-64 truncate">
                <Outcome job={job} />
              </Cell>
              <Cell className="text-right">
                {job.cron ? (
                  <Button size="small" data-testid="job-run" onClick={() => void run(job)}>
                    Run now
                  </Button>
                ) : (
                  <Button size="small" data-testid="job-cancel" onClick={() => setCancelling(job)}>
                    Take back
                  </Button>
                )}
              </Cell>
            </tr>
          ))}
        </Table>
      )}
      {cancelling && (
        <Confirm
          title="Take this message back?"
          text="It will not be sent when its time comes. This cannot be undone."
          action="Take back"
          onConfirm={() => void telling(jobs.cancel(cancelling.id))}
          onClose={() => setCancelling(undefined)}
        />
      )}
    </Section>
  );
}

function Outcome({ job }: { job: Job }) {
  if (job.lastError) {
    return (
      <span className="text-danger" title={job.lastError}>
        {job.lastError}
      </span>
    );
  }
  return job.lastAt ? <span className="text-good">All right</span> : <span className="text-ink-faint">—</span>;
}
