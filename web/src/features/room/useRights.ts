import { useMemo } from 'react';
import { useMe } from '../../app/hooks';
import { type Asker, type Rights, rightsIn } from '../../model/policy';
import type { RoomState } from '../../model/state';

export function useAsker({ membership }: RoomState): Asker {
  const { role: rank } = useMe();
  const { role } = membership;
  return useMemo(() => ({ role, rank }), [role, rank]);
}

/** What the reader may do in a room. */
export function useRights(roomState: RoomState): Rights {
  const asker = useAsker(roomState);
  const { room } = roomState;
  return useMemo(() => rightsIn(room, asker), [room, asker]);
}
