import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

test('who is mentioned sees it, and nobody else does', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('calls');
  await alice.createsRoom(room);
  await bob.joins(room);
  await alice.writes(`Ask @${bob.username}, or \`@${bob.username}\`, not @${bob.username}x`);
  await bob.sees('Ask');
  const marks = bob.message('Ask').locator('mark');
  assert.deepEqual(await marks.allTextContents(), [`@${bob.username}`]);
  assert.equal(await alice.message('Ask').locator('mark').count(), 0);
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});

test('mail for mentions is switched off, and stays off', async () => {
  const alice = await here.person('Alice');
  const opens = async () => {
    await alice.page.goto('/settings/security');
    await alice.get('mention-mail').waitFor();
  };
  await opens();
  assert.ok(await alice.get('mention-mail').isChecked(), 'it is on at first');
  await alice.get('mention-mail').uncheck();
  await eventually('it is kept', async () => {
    await opens();
    return !(await alice.get('mention-mail').isChecked());
  });
  await alice.get('mention-mail').check();
  await eventually('it is on again', async () => {
    await opens();
    return alice.get('mention-mail').isChecked();
  });
});
