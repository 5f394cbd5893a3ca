/** How long a room keeps messages, with a warning before they are deleted. */
import { useCallback, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { inDays, periods } from '../../model/retention';
import type { Room } from '../../model/types';
import { Select } from '../../ui/Select';

interface RetentionProps {
  room: Room;
  disabled: boolean;
  error: string | undefined;
}

export function Retention({ room, disabled, error }: RetentionProps) {
  const { chat } = useEngine();
  const { value: workspace } = useLoad(useCallback(() => chat.workspaceRetention(room.id), [chat, room.id]));
  const [chosen, setChosen] = useState(room.retentionDays);
  const days = chosen || workspace || 0;
  return (
    <div className="flex flex-col gap-2">
      <Select
        label="Keep messages for"
        name="retention_days"
        data-testid="settings-retention"
        disabled={disabled}
        defaultValue={String(room.retentionDays)}
        onChange={(event) => setChosen(Number(event.target.value))}
        options={periods(room.retentionDays, workspace)}
        error={error}
      />
      {days > 0 && (
        <p
          role={chosen === room.retentionDays ? undefined : 'alert'}
          data-testid="retention-warning"
          className="rounded-lg bg-danger-soft px-3 py-2 text-danger text-sm"
        >
          Messages older than {inDays(days)} are deleted for good, with their files, for everybody in this room. What is
          gone cannot be brought back.
        </p>
      )}
    </div>
  );
}
