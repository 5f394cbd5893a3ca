/** What the door asks the server before anybody is signed in. The way there is fetched when it is needed. */
import { AuthService, RegistrationMode } from '../api/gen/loquat/auth/v1/auth_service_pb';
import { InviteService } from '../api/gen/loquat/auth/v1/invite_service_pb';
import * as decode from '../model/decode';
import type { WorkspaceRole } from '../model/types';

const web = () => import('../api/web');

export interface SignInOptions {
  readonly registration: 'open' | 'invite' | 'closed';
  readonly firstAccount: boolean;
  readonly setupTokenRequired: boolean;
  readonly resetByMail: boolean;
}

export interface InvitePreview {
  readonly invitedBy: string;
  readonly role: WorkspaceRole;
  readonly rooms: number;
  /** 0 for never. */
  readonly expiresAt: number;
}

const MODES = { [RegistrationMode.INVITE]: 'invite', [RegistrationMode.CLOSED]: 'closed' } as const;

export async function signInOptions(): Promise<SignInOptions> {
  const { callOpenly } = await web();
  const { registration, ...rest } = await callOpenly(AuthService.method.getSignInOptions, {});
  const { firstAccount, setupTokenRequired, resetByMail } = rest;
  const mode = registration in MODES ? MODES[registration as keyof typeof MODES] : 'open';
  return { registration: mode, firstAccount, setupTokenRequired, resetByMail };
}

export async function previewInvite(inviteToken: string): Promise<InvitePreview> {
  const { callOpenly } = await web();
  const { invitedBy, role, rooms, expiresAt } = await callOpenly(InviteService.method.previewInvite, { inviteToken });
  return { invitedBy, role: decode.workspaceRole(role), rooms, expiresAt: decode.millis(expiresAt) };
}

export async function requestPasswordReset(account: string): Promise<void> {
  const { callOpenly } = await web();
  await callOpenly(AuthService.method.requestPasswordReset, { account });
}

export async function resetPassword(resetToken: string, newPassword: string): Promise<void> {
  const { callOpenly } = await web();
  await callOpenly(AuthService.method.resetPassword, { resetToken, newPassword });
}
