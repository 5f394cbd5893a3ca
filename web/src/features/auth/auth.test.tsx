import { afterEach, describe, expect, it } from 'vitest';
import type { InvitePreview } from '../../app/door';
import { Drawn } from '../shared/drawn';
import { InviteOffer } from './Invitation';

let drawn: Drawn | undefined;
afterEach(() => drawn?.end());

const PREVIEW: InvitePreview = { invitedBy: 'Olga', role: 'guest', rooms: 2, expiresAt: 0 };

async function offer(preview: InvitePreview, joined = false): Promise<string> {
  await drawn?.end();
  drawn = new Drawn({});
  await drawn.draw(<InviteOffer preview={preview} joined={joined} />);
  return drawn.text('invite-offer');
}

describe('an invitation', () => {
  it('says who invites, as what and where to', async () => {
    expect(await offer(PREVIEW)).toBe('Olga invites you to be a guest here, and into 2 rooms.');
    expect(await offer({ ...PREVIEW, role: 'member', rooms: 0 })).toBe('Olga invites you to be a member here.');
    expect(await offer({ ...PREVIEW, rooms: 1 }, true)).toBe('Olga invites you into one room.');
    expect(await offer({ ...PREVIEW, rooms: 0 }, true)).toBe('Olga invites you; you are in the workspace already.');
  });

  it('says when it ends', async () => {
    expect(await offer({ ...PREVIEW, expiresAt: Date.now() + 3 * 86_400_000 })).toContain('The invitation ends in ');
  });
});
