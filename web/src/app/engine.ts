/** Everything that runs while somebody is signed in, wired together. No screen is known here. */

import { type Call, callOver } from '../api/client';
import { ApiError } from '../api/errors';
import { upload } from '../api/files';
import { type ServerFrame, ResetReason as WireReset } from '../api/gen/loquat/edge/v1/frame_pb';
import type { Session } from '../api/session';
import { type Connection, Socket } from '../api/socket';
import * as decode from '../model/decode';
import { reduce } from '../model/reducer';
import { type Action, initialState, type ResetReason, type State, type StreamAction } from '../model/state';
import type { Attachment, User } from '../model/types';
import { type Account, accountOver } from './account';
import { type Admin, adminOver } from './admin';
import { type Chat, chatOver, newOpId } from './chat';
import { Directory } from './directory';
import { type Files, filesOver } from './files';
import { type Incoming, incomingOver } from './incoming';
import { type Jobs, jobsOver, listenOver } from './jobs';
import { restore, save } from './outbox_storage';
import { Sender } from './sender';
import { type Cell, cell, type Readable } from './store';
import { Tokens } from './tokens';
import { BrowserUploadStore, tabId } from './upload_storage';
import { Uploads } from './uploads';

const RESUBSCRIBE_MS = 1000;
const TICK_MS = 1000;
const CATCHING_UP_MS = 30;

const RESETS: Partial<Record<WireReset, ResetReason>> = {
  [WireReset.CURSOR_AHEAD]: 'cursor-ahead',
  [WireReset.NOT_FOUND]: 'not-found',
};

/** What the screens need. */
export interface Engine {
  readonly me: User;
  readonly state: Readable<State>;
  readonly connection: Readable<Connection>;
  readonly directory: Pick<Directory, 'users' | 'want' | 'learn'>;
  readonly chat: Chat;
  readonly account: Account;
  readonly admin: Admin;
  readonly jobs: Jobs;
  readonly incoming: Incoming;
  readonly files: Files;
  readonly uploads: Omit<Uploads, 'restore' | 'connected' | 'stop'>;
  dispatch(action: Action): void;
  send(roomId: string, text: string, attachments: readonly Attachment[]): void;
  retryNow(): void;
  /** The rooms on the screen: who is online there is told. */
  look(roomIds: readonly string[]): void;
  stop(): void;
}

function actionOf(frame: ServerFrame['frame'], now: number): StreamAction | undefined {
  switch (frame.case) {
    case 'event':
      return { type: 'event', event: decode.event(frame.value) };
    case 'snapshot': {
      const snapshot = decode.snapshot(frame.value);
      return snapshot && { type: 'snapshot', snapshot };
    }
    case 'caughtUp':
      return { type: 'caught_up', epoch: frame.value.epoch };
    case 'reset':
      return { type: 'reset', reason: RESETS[frame.value.reason] ?? 'epoch-changed', feedId: frame.value.feedId };
    case 'ephemeral': {
      const { body, feedId: roomId } = frame.value;
      if (body.case === 'typing') return { type: 'typing', roomId, userId: body.value.userId, now };
      if (body.case !== 'presence') return undefined;
      const { onlineUserIds: userIds, onlineCount: count } = body.value;
      return { type: 'presence', roomId, userIds, count };
    }
    default:
      return undefined;
  }
}

function socketUrl(): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;
}

/** A token that ended unnoticed, while the machine slept, is renewed once. */
function renewing(direct: Call, renew: () => Promise<void>): Call {
  return async (method, request, options) => {
    try {
      return await direct(method, request, options);
    } catch (cause) {
      if (!(cause instanceof ApiError) || cause.code !== 'unauthenticated') throw cause;
      await renew();
      return direct(method, request, options);
    }
  };
}

/** Asks for the stream again when a hole was found, but not without end. */
function resubscriber(state: Readable<State>, subscribe: () => void): () => void {
  let last = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    if (!state.get().stale || timer) return;
    const again = () => {
      timer = undefined;
      last = Date.now();
      if (state.get().stale) subscribe();
    };
    timer = setTimeout(again, Math.max(0, last + RESUBSCRIBE_MS - Date.now()));
  };
}

function storeOf(me: string): { state: Cell<State>; dispatch: (action: Action) => void } {
  // A long replay is drawn now and then, not once an event.
  const state: Cell<State> = cell(initialState(me), (tell) => {
    if (state.get().caughtUp) queueMicrotask(tell);
    else setTimeout(tell, CATCHING_UP_MS);
  });
  const dispatch = (action: Action) => {
    const before = state.get();
    const after = reduce(before, action);
    if (after.outbox !== before.outbox) save(me, before.outbox, after.outbox);
    state.set(after);
  };
  dispatch({ type: 'outbox_restored', entries: restore(me) });
  return { state, dispatch };
}

export function startEngine(session: Session, onSessionEnded: () => void): Engine {
  const me = session.user;
  let running = true;
  const onEnded = () => running && onSessionEnded();
  const { state, dispatch } = storeOf(me.id);
  const connection = cell<Connection>({ phase: 'connecting' });
  const renewed = ({ accessToken, user }: Session) => {
    socket.renewToken(accessToken);
    directory.learn([user]);
  };
  const tokens = new Tokens(session, renewed, onEnded);
  const socket = new Socket({
    url: socketUrl(),
    position: () => state.get(),
    onSubscribed: () => dispatch({ type: 'subscribed' }),
    onFrame: (frame) => {
      const action = actionOf(frame, Date.now());
      if (action) dispatch(action);
    },
    onConnection: (next) => {
      connection.set(next);
      sender.connection(next.phase === 'live' || next.phase === 'catching-up');
      if (next.phase === 'live') uploads.connected();
      if (next.phase === 'ended') onEnded();
    },
    renew: async () => void (await tokens.renew()),
  });
  const call = renewing(callOver(socket), async () => void (await tokens.renew()));
  const directory = new Directory(call, me.id);
  const files = filesOver(call);
  const uploads = new Uploads({
    userId: me.id,
    tab: tabId(),
    token: () => tokens.token(),
    upload,
    store: new BrowserUploadStore(me.id),
    refused: (file) => files.refused(file),
  });
  const sender = new Sender(call, state.get, dispatch);
  const learn = (users: readonly User[]) => directory.learn(users);
  learn([me]);
  const mend = resubscriber(state, () => socket.subscribe());
  const unsubscribe = state.subscribe(mend);
  const tick = setInterval(() => dispatch({ type: 'tick', now: Date.now() }), TICK_MS);
  const online = () => socket.probe(true);
  const offline = () => socket.probe(false);
  addEventListener('online', online);
  addEventListener('offline', offline);
  socket.start();
  void uploads.restore();

  return {
    me,
    state,
    connection,
    directory,
    chat: chatOver(call, state.get, dispatch),
    account: accountOver(call, learn),
    admin: adminOver(call, learn),
    jobs: jobsOver(
      call,
      listenOver(() => tokens.token()),
    ),
    incoming: incomingOver(call),
    files,
    uploads,
    dispatch: (action) => {
      dispatch(action);
      sender.run();
    },
    send(roomId, text, attachments) {
      const entry = { opId: newOpId(), roomId, text, attachments, createdAt: Date.now() };
      dispatch({ type: 'outbox_queued', entry: { ...entry, status: 'queued', error: '' } });
      sender.run();
    },
    retryNow: () => socket.retryNow(),
    look(roomIds) {
      dispatch({ type: 'looked_at', roomIds });
      socket.look(roomIds);
    },
    stop() {
      running = false;
      removeEventListener('online', online);
      removeEventListener('offline', offline);
      clearInterval(tick);
      unsubscribe();
      uploads.stop();
      tokens.stop();
      socket.stop();
    },
  };
}
