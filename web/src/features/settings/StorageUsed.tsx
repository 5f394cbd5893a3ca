import { useCallback } from 'react';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { Failed, Waiting } from '../../ui/Notices';
import { Card, Section } from '../../ui/Page';
import { Meter } from '../shared/Meter';

export function StorageUsed() {
  const { files } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => files.usage(), [files]));
  return (
    <Section title="Storage" text="What you have shared, in all rooms.">
      {error && <Failed text={error} onRetry={reload} />}
      {!value && !error && <Waiting />}
      {value && (
        <Card className="flex flex-col gap-4 p-4">
          <Meter label="Your files" used={value.mine} limit={value.mineLimit} />
          <Meter label="The whole workspace" used={value.all} limit={value.allLimit} />
        </Card>
      )}
    </Section>
  );
}
