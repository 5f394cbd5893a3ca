import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

async function opensSettings(person) {
  await person.get('room-menu').click();
  await person.get('rename-room').click();
  await person.get('room-settings').waitFor();
}

async function posts(url, document) {
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify(document) });
  return { status: answer.status, told: await answer.json() };
}

test('a program posts with an address that was shown once, and is seen to be none of us', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('builds');
  await alice.createsRoom(room);
  await bob.joins(room);
  await opensSettings(alice);
  await alice.get('hook-name').fill('Build server');
  await alice.get('hook-create').click();
  const url = await alice.get('hook-url-value').inputValue();
  assert.match(url, /^http.*\/hooks\/[0-9a-f-]{36}\/[\w-]{43}$/);
  await alice.get('hook-url-done').click();
  await alice.get('hook-item', { hasText: 'Build server' }).waitFor();
  assert.equal(await alice.get('hook-url-value').count(), 0);
  await alice.page.keyboard.press('Escape');

  const { status, told } = await posts(url, { text: '**All** is green' });
  assert.equal(status, 200);
  assert.ok(told.seq > 0);
  for (const person of [alice, bob]) {
    await person.sees('All is green');
    const message = person.message('All is green');
    await message.getByTestId('message-author').filter({ hasText: 'Build server' }).waitFor();
    await message.getByTestId('webhook-badge').waitFor();
  }
  // Under another name it is still a program.
  await posts(url, { text: 'It is me', username: 'Bob' });
  await alice.message('It is me').getByTestId('webhook-badge').waitFor();
  await bob.says('It was not me');
  assert.equal(await bob.message('It was not me').getByTestId('webhook-badge').count(), 0);
  // Nobody edits what a program said; who runs the room deletes it.
  await alice.message('All is green').hover();
  assert.equal(await alice.message('All is green').getByTestId('message-edit').count(), 0);
  await alice.message('All is green').getByTestId('message-menu').click();
  await alice.get('message-delete').click();
  await alice.get('confirm').click();
  await bob.message('All is green').waitFor({ state: 'detached' });

  // Whoever does not run the room does not see where it is done.
  await bob.get('room-menu').click();
  await bob.get('leave-room').waitFor();
  assert.equal(await bob.get('rename-room').count(), 0);

  await opensSettings(alice);
  await alice.get('hook-item', { hasText: 'Build server' }).getByTestId('hook-delete').click();
  await alice.get('confirm').click();
  await alice.get('hook-item').waitFor({ state: 'detached' });
  await eventually('the address is none any more', async () => (await posts(url, { text: 'hello?' })).status === 404);
});
