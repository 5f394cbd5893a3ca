import { describe, expect, it } from 'vitest';
import { visible } from './messages';
import { reduce, TYPING_MS } from './reducer';
import { members, presenceIn, typingIn, unread } from './selectors';
import { event, file, freshClient, fullHistory, ME, message, ROOM, randomFrom, room, Server } from './simulation';
import { type Action, initialState, type State } from './state';
import type { EventBody, OutboxEntry } from './types';

function run(actions: readonly Action[], from = initialState(ME)): State {
  return actions.reduce(reduce, from);
}

function inRoom(): State {
  const server = new Server();
  return run([...server.replay({}), server.page(0, 1)]);
}

function post(seq: number, fields = {}): Action {
  return { type: 'event', event: event(seq, { type: 'message_posted', message: message(seq, fields) }) };
}

function deletion(seq: number): EventBody {
  const facts = { authorId: ME, ordinal: seq, createdAt: seq };
  return { type: 'message_deleted', messageId: `m${seq}`, messageSeq: seq, ...facts };
}

function texts(state: State): string[] {
  const room = state.rooms[ROOM];
  return room ? visible(room.messages).map((shown) => (shown.deletedAt ? '(deleted)' : shown.text)) : [];
}

/** What a person can see of a state; how it came about is left out. */
function seen(state: State) {
  const room = state.rooms[ROOM];
  return {
    cursors: state.cursors,
    name: room?.room.name,
    messages: room ? visible(room.messages) : [],
    members: room ? members(room).map((member) => member.userId) : [],
    memberCount: room?.membership.memberCount,
    unread: unread(state, ROOM),
    outbox: state.outbox,
  };
}

describe('feeds', () => {
  it('tell when a room is archived, and when it no longer is', () => {
    const change = (seq: number, archivedAt: number): Action => {
      return { type: 'event', event: event(seq, { type: 'room_updated', room: { ...room('x'), archivedAt } }) };
    };
    const archived = run([change(1, 77)], inRoom());
    expect(archived.rooms[ROOM]?.room.archivedAt).toBe(77);
    expect(run([change(2, 0)], archived).rooms[ROOM]?.room.archivedAt).toBe(0);
  });

  it('applies each number once and moves the cursor', () => {
    const state = run([post(1), post(1), post(2), post(1)], inRoom());
    expect(texts(state)).toEqual(['text 1', 'text 2']);
    expect(state.cursors[ROOM]).toBe(2);
    expect(state.stale).toBe(false);
  });

  it('never steps over a hole, and asks for the stream again', () => {
    const state = run([post(1), post(3)], inRoom());
    expect(texts(state)).toEqual(['text 1']);
    expect(state.cursors[ROOM]).toBe(1);
    expect(state.stale).toBe(true);
    const again = run([{ type: 'subscribed' }, post(2), post(3)], state);
    expect(texts(again)).toEqual(['text 1', 'text 2', 'text 3']);
    expect(again.stale).toBe(false);
  });

  it('starts a feed from a snapshot when the same hole is in the log itself', () => {
    const state = run([post(1), post(3), { type: 'subscribed' }, post(3)], inRoom());
    expect(state.cursors[ROOM]).toBeUndefined();
    expect(state.stale).toBe(true);
  });

  it('counts the number of an event that it does not know', () => {
    const state = run([{ type: 'event', event: event(1, { type: 'other' }) }, post(2)], inRoom());
    expect(texts(state)).toEqual(['text 2']);
    expect(state.cursors[ROOM]).toBe(2);
  });

  it('knows what somebody may do from now on', () => {
    const member = { userId: ME, role: 'admin', joinedSeq: 1 } as const;
    const promoted: Action = { type: 'event', event: event(1, { type: 'member_role_changed', member }) };
    const state = run([promoted], inRoom());
    expect(state.rooms[ROOM]?.membership.role).toBe('admin');
    expect(state.rooms[ROOM]?.members[ME]?.member?.role).toBe('admin');
  });

  it('drops a room that it was removed from, and ignores what was queued', () => {
    const left: Action = { type: 'event', event: event(2, { type: 'member_left', userId: ME }) };
    const state = run([post(1), left, left, post(1)], inRoom());
    expect(state.rooms[ROOM]).toBeUndefined();
    expect(state.cursors[ROOM]).toBeUndefined();
    expect(state.stale).toBe(false);
  });

  it('keeps a room that was joined again when the own feed tells of the earlier leaving late', () => {
    const server = new Server();
    const joined = run([{ type: 'snapshot', snapshot: server.userSnapshot() }]);
    const snapshot = { ...server.roomSnapshot(), head: 9 };
    const left = event(1, { type: 'room_left', roomId: ROOM, leftSeq: 7 }, ME);
    const state = run(
      [
        { type: 'snapshot', snapshot },
        { type: 'event', event: left },
      ],
      joined,
    );
    expect(state.rooms[ROOM]).toBeDefined();
  });

  it('forgets cursors when the epoch changes, and takes the lower snapshot', () => {
    const before = run([post(1), post(2)], inRoom());
    const server = new Server();
    const state = run([{ type: 'reset', reason: 'epoch-changed', feedId: '' }, ...server.replay({})], before);
    expect(state.cursors).toEqual({ [ROOM]: 0, [ME]: 0 });
    expect(texts(state)).toEqual([]);
  });

  it('drops the room that may not be seen any more', () => {
    const state = run([{ type: 'reset', reason: 'not-found', feedId: ROOM }], inRoom());
    expect(Object.keys(state.rooms)).toEqual([]);
  });
});

describe('messages', () => {
  it('does not let a late page bring a deleted or older text back', () => {
    const generation = inRoom().rooms[ROOM]?.messages.generation ?? 0;
    const page = { generation, beforeSeq: 0, messages: [message(1), message(2)], more: false };
    const edited = message(2, { text: 'new', editedSeq: 4, editedAt: 4 });
    const state = run(
      [
        post(1),
        post(2),
        { type: 'event', event: event(3, deletion(1)) },
        { type: 'event', event: event(4, { type: 'message_edited', message: edited }) },
        { type: 'page', roomId: ROOM, page },
      ],
      inRoom(),
    );
    expect(texts(state)).toEqual(['(deleted)', 'new']);
    expect(state.rooms[ROOM]?.messages.all[0]?.authorId).toBe(ME);
  });

  it('counts a message whose posting was taken out of the log before it was seen', () => {
    const stub: Action = { type: 'event', event: event(1, { type: 'other' }) };
    const state = run([stub, { type: 'event', event: event(2, deletion(1)) }], inRoom());
    expect(unread(state, ROOM)).toBe(1);
    expect(state.rooms[ROOM]?.messages.all[0]).toMatchObject({ authorId: ME, ordinal: 1, createdAt: 1 });
  });

  it('lets old messages go, and takes nothing of them back', () => {
    const expired: Action = {
      type: 'event',
      event: event(4, { type: 'messages_expired', throughSeq: 2, throughOrdinal: 2 }),
    };
    const late = { generation: 1, beforeSeq: 3, messages: [message(1), message(2)], more: false };
    const read: Action = { type: 'event', event: event(1, { type: 'read', roomId: ROOM, seq: 1, ordinal: 1 }, ME) };
    const edit = message(2, { text: 'again', editedSeq: 3, editedAt: 3 });
    const edited: Action = { type: 'event', event: event(4, { type: 'message_edited', message: edit }) };
    const state = run([post(1), post(2), post(3), read, expired], inRoom());
    expect(texts(state)).toEqual(['text 3']);
    expect(unread(state, ROOM)).toBe(1);
    expect(state.rooms[ROOM]?.messages.from).toBe(0);
    const again = run(
      [{ type: 'page', roomId: ROOM, page: late }, edited, { type: 'message', message: message(1) }],
      state,
    );
    expect(texts(again)).toEqual(['text 3']);
    // Somebody who was away finds stubs, and then what was there.
    const stubs = [1, 2].map((seq): Action => ({ type: 'event', event: event(seq, { type: 'other' }) }));
    expect(unread(run([...stubs, post(3), expired], inRoom()), ROOM)).toBe(1);
  });

  it('knows a marker that was set back, whichever feed speaks of it first', () => {
    const server = new Server();
    const { membership, ...snapshot } = { ...server.roomSnapshot(), head: 9, userHead: 1 };
    const before = { ...snapshot, membership: { ...membership, headOrdinal: 5, readSeq: 8, readOrdinal: 5 } };
    const back = event(2, { type: 'read', roomId: ROOM, seq: 4, ordinal: 2 }, ME);
    const user = { ...server.userSnapshot(), head: 1 };
    const joined = run([{ type: 'snapshot', snapshot: user }]);
    const actions: Action[] = [
      { type: 'event', event: back },
      { type: 'snapshot', snapshot: before },
    ];
    expect(unread(run(actions, joined), ROOM)).toBe(3);
    expect(unread(run(actions.toReversed(), joined), ROOM)).toBe(3);
  });

  it('shows older messages only when the run down to them is unbroken', () => {
    const server = new Server();
    const start = run(server.replay({}));
    const page = (messages: number[], beforeSeq: number): Action => ({
      type: 'page',
      roomId: ROOM,
      page: { generation: 1, beforeSeq, messages: messages.map((seq) => message(seq)), more: true },
    });
    const far = run([page([2, 3], 4)], start);
    expect(texts(far)).toEqual([]);
    expect(texts(run([page([8, 9], 0)], far))).toEqual(['text 8', 'text 9']);
    expect(texts(run([page([8, 9], 0), page([6, 7], 8)], far))).toEqual(['text 6', 'text 7', 'text 8', 'text 9']);
  });

  it('drops a page that was asked for before the room started anew', () => {
    const old = new Server().page(0, 0);
    expect(run([old], run(new Server().replay({}))).rooms[ROOM]?.messages.from).toBe(Number.POSITIVE_INFINITY);
  });

  it('keeps the name of a file that was taken out of the room, in whatever order that is heard', () => {
    const taken: Action = { type: 'event', event: event(2, { type: 'file_removed', fileId: 'f1' }) };
    const after = run([post(1, { files: [file('f1', 'ready')] }), taken], inRoom());
    const late: Action = { type: 'event', event: event(3, { type: 'file_ready', file: file('f1', 'ready') }) };
    for (const state of [after, run([late], after)]) {
      const [message] = state.rooms[ROOM]?.messages.all ?? [];
      expect(message?.files).toMatchObject([{ name: 'f1.png', state: 'removed', thumbnails: [] }]);
    }
    const first: Action = { type: 'event', event: event(1, { type: 'file_removed', fileId: 'f2' }) };
    const told = run([first, post(2, { files: [file('f2', 'ready')] })], inRoom());
    expect(told.rooms[ROOM]?.messages.all[0]?.files).toMatchObject([{ name: 'f2.png', state: 'removed' }]);
  });

  it('brings a finished file into its message, whichever comes first', () => {
    const ready: Action = { type: 'event', event: event(2, { type: 'file_ready', file: file('f1', 'ready') }) };
    const state = run([post(1, { files: [file('f1')] }), ready], inRoom());
    expect(state.rooms[ROOM]?.messages.all[0]?.files[0]?.state).toBe('ready');
    const early: Action = { type: 'event', event: event(1, { type: 'file_ready', file: file('f2', 'ready') }) };
    const late = run([early, post(2, { files: [file('f2')] })], inRoom());
    expect(late.rooms[ROOM]?.messages.all[0]?.files[0]?.thumbnails).toHaveLength(1);
  });
});

describe('outbox', () => {
  const entry: OutboxEntry = {
    opId: 'op1',
    roomId: ROOM,
    text: 'text 1',
    attachments: [],
    createdAt: 1,
    status: 'queued',
    error: '',
  };
  const queued: Action = { type: 'outbox_queued', entry };
  const reply: Action = { type: 'message', message: message(1) };

  it('is replaced once by reply and event, whichever comes first', () => {
    for (const order of [
      [reply, post(1)],
      [post(1), reply],
    ]) {
      const state = run([queued, { type: 'outbox_sending', opId: 'op1' }, ...order], inRoom());
      expect(state.outbox).toEqual([]);
      expect(texts(state)).toEqual(['text 1']);
    }
  });

  it("is not replaced by somebody else's message with the same op id", () => {
    expect(run([queued, post(1, { authorId: 'user-2' })], inRoom()).outbox).toHaveLength(1);
  });

  it('keeps what failed for good until it is retried or dropped', () => {
    const failed = run([queued, { type: 'outbox_failed', opId: 'op1', error: 'too long' }], inRoom());
    expect(failed.outbox[0]).toMatchObject({ status: 'failed', error: 'too long' });
    expect(run([{ type: 'outbox_requeued', opId: 'op1' }], failed).outbox[0]?.status).toBe('queued');
    expect(run([{ type: 'outbox_dropped', opId: 'op1' }], failed).outbox).toEqual([]);
  });

  it('takes a restored entry up once', () => {
    expect(run([queued, { type: 'outbox_restored', entries: [entry] }], inRoom()).outbox).toHaveLength(1);
  });
});

describe('typing', () => {
  it('ends after its time, or with the message', () => {
    const typing: Action = { type: 'typing', roomId: ROOM, userId: 'user-2', now: 1000 };
    const state = run([typing], inRoom());
    expect(typingIn(state, ROOM)).toEqual(['user-2']);
    expect(typingIn(run([{ type: 'tick', now: 999 + TYPING_MS }], state), ROOM)).toEqual(['user-2']);
    expect(typingIn(run([{ type: 'tick', now: 1000 + TYPING_MS }], state), ROOM)).toEqual([]);
    expect(typingIn(run([post(1, { authorId: 'user-2' })], state), ROOM)).toEqual([]);
  });
});

describe('presence', () => {
  const digest = (userIds: readonly string[], count = userIds.length, roomId = ROOM): Action => ({
    type: 'presence',
    roomId,
    userIds,
    count,
  });

  it('is what the last digest said, and takes no number', () => {
    const before = inRoom();
    const state = run([digest(['user-2', 'user-3']), digest(['user-3'], 250)], before);
    expect(presenceIn(state, ROOM)).toEqual({ userIds: new Set(['user-3']), count: 250 });
    expect(state.cursors).toEqual(before.cursors);
    expect(state.stale).toBe(false);
  });

  it('is forgotten with the look, with the connection, and with the room', () => {
    const state = run([digest(['user-2'])], inRoom());
    expect(presenceIn(run([{ type: 'looked_at', roomIds: [ROOM] }], state), ROOM)?.count).toBe(1);
    expect(presenceIn(run([{ type: 'looked_at', roomIds: [] }], state), ROOM)).toBeUndefined();
    expect(presenceIn(run([{ type: 'subscribed' }], state), ROOM)).toBeUndefined();
    const left: Action = { type: 'event', event: event(1, { type: 'member_left', userId: ME }) };
    expect(presenceIn(run([left, digest(['user-2'])], state), ROOM)).toBeUndefined();
  });

  it('of a room that one is not in is of no use', () => {
    expect(run([digest(['user-2'], 1, 'elsewhere')], inRoom()).presence).toEqual({});
  });
});

/** Order is promised within a feed and not between feeds. */
function mixed(actions: readonly Action[], random: () => number): Action[] {
  const own = (action: Action) =>
    (action.type === 'event' && action.event.feedId === ME) ||
    (action.type === 'snapshot' && action.snapshot.feedId === ME);
  const [mine, others] = [actions.filter(own), actions.filter((action) => !own(action))];
  const result: Action[] = [];
  while (mine.length > 0 || others.length > 0) {
    const next = (random() < 0.5 ? mine : others).shift();
    if (next) result.push(next);
  }
  return result;
}

/** A client on a network that loses, delays and repeats, and a server on which things happen meanwhile. */
function disturbed(seed: number): { server: Server; state: State } {
  const random = randomFrom(seed);
  const server = new Server();
  for (let i = 0; i < random() * 20; i += 1) server.step(random);
  let state = initialState(ME);
  let stream = mixed(server.replay({}), random);
  const answers: Action[] = [];
  const subscribe = () => {
    state = reduce(state, { type: 'subscribed' });
    stream = mixed(server.replay(state.cursors), random);
  };
  for (let i = 0; i < 150; i += 1) {
    const heads = [server.log.length, server.userLog.length] as const;
    const dice = random();
    if (dice < 0.3) server.step(random);
    const fresh = [...server.log.slice(heads[0]), ...server.userLog.slice(heads[1])];
    const told = fresh.map((next): Action => ({ type: 'event', event: next }));
    if (random() > 0.15) stream.push(...mixed(told, random));
    const { generation = 0, from = 0 } = state.rooms[ROOM]?.messages ?? {};
    const newest = server.messages.at(-1);
    if (dice > 0.9) answers.push(server.page(0, generation));
    else if (dice > 0.8) answers.push(server.page(Number.isFinite(from) ? from : 0, generation));
    else if (dice > 0.75) answers.push(server.memberPage());
    else if (dice > 0.7 && newest) answers.push({ type: 'message', message: newest });
    const late = answers.splice(Math.floor(random() * answers.length), random() < 0.4 ? 1 : 0)[0];
    const chosen = late ?? stream.shift();
    if (chosen) state = reduce(state, chosen);
    if (chosen && random() < 0.2) state = reduce(state, chosen);
    if (state.stale || random() < 0.03) subscribe();
  }
  subscribe();
  return { server, state: run([...stream, ...answers, server.memberPage()], state) };
}

describe('any interleaving of losses, repetitions and late answers ends in the same state', () => {
  // A few at a time: each test has five seconds, also on a busy machine.
  for (let start = 0; start < 400; start += 20) {
    it(`seeds ${start} to ${start + 19}`, () => {
      for (let seed = start; seed < start + 20; seed += 1) {
        const { server, state } = disturbed(seed);
        expect(state.stale, `seed ${seed}`).toBe(false);
        expect(seen(fullHistory(server, state)), `seed ${seed}`).toEqual(seen(freshClient(server)));
      }
    });
  }
});
