/** Keeps the session's access token fresh for as long as somebody is signed in. */
import { ApiError } from '../api/errors';
import { refresh, type Session } from '../api/session';

const RETRY_MS = 15_000;

export class Tokens {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private renewing: Promise<Session> | undefined;

  constructor(
    private session: Session,
    /** Also tells what the account may do by now. */
    private readonly onRenewed: (session: Session) => void,
    private readonly onEnded: () => void,
  ) {
    this.schedule(session.renewAt - Date.now());
  }

  /** A token that is good for a while. */
  async token(): Promise<string> {
    if (Date.now() >= this.session.renewAt) await this.renew();
    return this.session.accessToken;
  }

  /** Concurrent callers share one exchange. */
  renew(): Promise<Session> {
    this.renewing ??= this.exchange().finally(() => {
      this.renewing = undefined;
    });
    return this.renewing;
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private async exchange(): Promise<Session> {
    try {
      this.session = await refresh();
    } catch (cause) {
      if (cause instanceof ApiError && cause.code === 'unauthenticated') this.onEnded();
      else this.schedule(RETRY_MS);
      throw cause;
    }
    this.schedule(this.session.renewAt - Date.now());
    this.onRenewed(this.session);
    return this.session;
  }

  private schedule(after: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.renew().catch(() => {}), Math.max(1000, after));
  }
}
