/** Who is behind an id: asked for once, many at a time. */
import type { Call } from '../api/client';
import type { User as WireUser } from '../api/gen/loquat/auth/v1/user_pb';
import { UserService } from '../api/gen/loquat/auth/v1/user_service_pb';
import { PeopleService } from '../api/gen/loquat/chat/v1/people_service_pb';
import * as decode from '../model/decode';
import type { User } from '../model/types';
import { cell } from './store';

const MOST_IDS = 200;
const RETRY_MS = 5000;

export class Directory {
  readonly users = cell<Readonly<Record<string, User>>>({});
  private readonly asked = new Set<string>();
  private wanted: string[] = [];

  constructor(
    private readonly call: Call,
    private readonly me: string,
  ) {}

  learn(users: readonly User[]): void {
    const fresh = Object.fromEntries(users.map((user) => [user.id, user]));
    for (const user of users) this.asked.add(user.id);
    this.users.set({ ...this.users.get(), ...fresh });
  }

  want(id: string): void {
    if (!id || this.asked.has(id)) return;
    this.asked.add(id);
    this.wanted.push(id);
    if (this.wanted.length === 1) queueMicrotask(() => void this.ask());
  }

  private wantAll(ids: readonly string[]): void {
    for (const id of ids) this.want(id);
  }

  /** Guests see those whom they share a room with, and nobody else. */
  private async ofIds(userIds: string[]): Promise<readonly WireUser[]> {
    const guest = this.users.get()[this.me]?.role === 'guest';
    const answer = guest
      ? await this.call(PeopleService.method.getPeople, { userIds })
      : await this.call(UserService.method.getUsers, { userIds });
    return answer.users;
  }

  private async ask(): Promise<void> {
    const wanted = this.wanted;
    this.wanted = [];
    for (let start = 0; start < wanted.length; start += MOST_IDS) {
      const userIds = wanted.slice(start, start + MOST_IDS);
      try {
        this.learn((await this.ofIds(userIds)).map(decode.user));
      } catch {
        // Names are not worth a notice; they are asked for again.
        for (const id of userIds) this.asked.delete(id);
        setTimeout(() => this.wantAll(userIds), RETRY_MS);
      }
    }
  }
}
