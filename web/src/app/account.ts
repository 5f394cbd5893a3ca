/** What somebody can do with their own account, as calls. */
import type { Call } from '../api/client';
import { AuthService } from '../api/gen/loquat/auth/v1/auth_service_pb';
import { InviteService } from '../api/gen/loquat/auth/v1/invite_service_pb';
import { SessionService } from '../api/gen/loquat/auth/v1/session_service_pb';
import { TokenService } from '../api/gen/loquat/auth/v1/token_service_pb';
import { UserService } from '../api/gen/loquat/auth/v1/user_service_pb';
import {
  type AccessToken,
  accessToken,
  type NewToken,
  type SessionInfo,
  sessionInfo,
  type TokenWish,
} from '../model/account';
import * as decode from '../model/decode';
import type { User } from '../model/types';

/** A field that is left out stays as it is. */
export interface ProfileChange {
  readonly displayName?: string;
  readonly title?: string;
  readonly about?: string;
  readonly avatarFileId?: string;
  readonly mentionMail?: boolean;
}

export interface Account {
  me(): Promise<{ user: User | undefined; email: string; mentionMail: boolean }>;
  update(change: ProfileChange): Promise<void>;
  /** How many other sessions were ended by it. */
  changePassword(current: string, next: string): Promise<number>;
  changeEmail(current: string, email: string): Promise<void>;
  sessions(): Promise<readonly SessionInfo[]>;
  endSession(sessionId: string): Promise<void>;
  endOtherSessions(): Promise<number>;
  tokens(): Promise<readonly AccessToken[]>;
  createToken(wish: TokenWish): Promise<NewToken>;
  revokeToken(tokenId: string): Promise<void>;
  /** The rooms that it leads into. */
  acceptInvite(inviteToken: string): Promise<readonly string[]>;
}

/** Changes of the own profile are told to `learn`. */
export function accountOver(call: Call, learn: (users: readonly User[]) => void): Account {
  const auth = AuthService.method;
  const sessions = SessionService.method;
  const tokens = TokenService.method;
  const users = UserService.method;
  return {
    async me() {
      const answer = await call(users.getMe, {});
      const user = answer.user && decode.user(answer.user);
      if (user) learn([user]);
      return { user, email: answer.email, mentionMail: answer.mentionMail };
    },
    async update(change) {
      const { user } = await call(users.updateMe, change);
      if (user) learn([decode.user(user)]);
    },
    async changePassword(currentPassword, newPassword) {
      return (await call(auth.changePassword, { currentPassword, newPassword }, { keep: false })).endedSessions;
    },
    async changeEmail(currentPassword, email) {
      await call(auth.changeEmail, { currentPassword, email });
    },
    async sessions() {
      return (await call(sessions.listSessions, {})).sessions.map(sessionInfo);
    },
    async endSession(sessionId) {
      await call(sessions.revokeSession, { sessionId });
    },
    async endOtherSessions() {
      return (await call(sessions.revokeOtherSessions, {})).endedSessions;
    },
    async tokens() {
      return (await call(tokens.listTokens, {})).tokens.map(accessToken);
    },
    // Not made again when the connection breaks: there would be a second token that nobody saw.
    async createToken({ name, scopes, days }) {
      const answer = await call(
        tokens.createToken,
        { name, scopes: [...scopes], expiresInDays: days },
        { keep: false },
      );
      return { token: answer.token && accessToken(answer.token), secret: answer.secret };
    },
    async revokeToken(tokenId) {
      await call(tokens.revokeToken, { tokenId });
    },
    async acceptInvite(inviteToken) {
      return (await call(InviteService.method.acceptInvite, { inviteToken })).roomIds;
    },
  };
}
