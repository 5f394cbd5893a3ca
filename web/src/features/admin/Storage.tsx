import { useCallback, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { sizeText, type Usage } from '../../model/files';
import { ListState, More } from '../../ui/Notices';
import { Card, Section } from '../../ui/Page';
import { Cell, Table } from '../../ui/Table';
import { Meter } from '../shared/Meter';
import { NameOf } from '../shared/Person';

export function Storage() {
  const { files } = useEngine();
  const [usage, setUsage] = useState<Usage>();
  const load = useCallback(
    async (from?: string) => {
      const page = await files.usageByUser(from);
      setUsage(page.usage);
      return page;
    },
    [files],
  );
  const pages = usePages(load);
  return (
    <Section title="Storage" text="How much the files take, and whose they are. Uploads under way count as well.">
      {usage && (
        <Card className="p-4">
          <Meter label="The whole workspace" used={usage.all} limit={usage.allLimit} />
        </Card>
      )}
      <ListState
        count={pages.items?.length}
        error={pages.error}
        onRetry={pages.reload}
        empty="Nobody keeps any file here."
      >
        <Table label="Storage" columns={['Who', { text: 'Keeps', number: true }, { text: 'Share', hidden: true }]}>
          {pages.items?.map(({ userId, bytes }) => (
            <tr key={userId} data-testid="storage-row">
              <Cell>
                <NameOf id={userId} />
              </Cell>
              <Cell number>{sizeText(bytes)}</Cell>
              <Cell className="w-2/5">
                <span
                  aria-hidden="true"
                  className="block h-2 rounded-full bg-loquat"
                  style={{ width: `${(100 * bytes) / Math.max(1, usage?.all ?? 0, bytes)}%` }}
                />
              </Cell>
            </tr>
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
    </Section>
  );
}
