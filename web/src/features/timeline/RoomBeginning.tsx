import { inDays } from '../../model/retention';
import type { Room } from '../../model/types';
import { RoomIcon } from '../sidebar/RoomItem';

export function RoomBeginning({ room }: { room: Room }) {
  return (
    <div className="px-5 pt-10 pb-1">
      <span className="mb-3 inline-flex size-12 items-center justify-center rounded-2xl bg-loquat-soft text-loquat-ink">
        <RoomIcon room={room} size={22} />
      </span>
      <h3 className="font-bold font-display text-[22px] leading-tight">{room.name}</h3>
      <p className="mt-1 max-w-prose text-ink-soft">
        {room.topic || 'This is where the room begins.'}{' '}
        {room.kind === 'private'
          ? 'Only people who are added can see it.'
          : room.topic
            ? ''
            : 'Everybody here can find and join it.'}
      </p>
      {room.retentionDays > 0 && (
        <p className="mt-1 max-w-prose text-ink-faint text-sm" data-testid="room-keeps">
          Messages are kept here for {inDays(room.retentionDays)}.
        </p>
      )}
    </div>
  );
}
