import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

test('two people chat', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('garden');
  await alice.createsRoom(room);
  await bob.joins(room);
  await alice.says('The loquats are ripe');
  await bob.sees('The loquats are ripe');
  await bob.says('I bring a basket');
  await alice.writes('**Two** baskets');
  const all = ['The loquats are ripe', 'I bring a basket', 'Two baskets'];
  await alice.eventuallySees(all);
  await bob.eventuallySees(all);
  assert.deepEqual(await alice.timeline(), await bob.timeline());
  assert.equal(await alice.message('Two baskets').locator('strong').textContent(), 'Two');
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});

test('somebody is seen typing, until the message is there', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('typing');
  await alice.createsRoom(room);
  await bob.joins(room);
  await bob.get('composer').pressSequentially('So ');
  await alice.get('typing', { hasText: 'Bob is typing' }).waitFor();
  await bob.says('So it goes');
  await alice.sees('So it goes');
  await eventually('nobody is typing', async () => (await alice.get('typing').textContent()) === '');
});

test('what was not read is counted, in the list and in the title, until it is read', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const [kitchen, attic] = [unique('kitchen'), unique('attic')];
  await alice.createsRoom(kitchen);
  await bob.joins(kitchen);
  await bob.createsRoom(attic);
  await alice.says('Soup is ready');
  await alice.says('Bread too');
  await bob.room(kitchen).getByTestId('unread-badge').filter({ hasText: '2' }).waitFor();
  await eventually('the title counts', async () => (await bob.page.title()).startsWith('(2) '));
  await bob.opens(kitchen);
  await bob.get('new-line').waitFor();
  await bob.room(kitchen).getByTestId('unread-badge').waitFor({ state: 'detached' });
  await bob.opens(attic);
  await eventually('nothing is unread', async () => (await bob.room(kitchen).getAttribute('data-unread')) === '0');
});

test('an edit and a deletion are seen at once', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('corrections');
  await alice.createsRoom(room);
  await bob.joins(room);
  await alice.says('Meet at fuor');
  await alice.says('Never mind this one');
  await bob.sees('Never mind this one');
  await alice.message('Meet at fuor').hover();
  await alice.message('Meet at fuor').getByTestId('message-edit').click();
  await alice.get('edit-input').fill('Meet at four');
  await alice.get('edit-input').press('Enter');
  await bob.sees('Meet at four');
  await bob.message('Meet at four').getByTestId('edited').waitFor();
  await alice.message('Never mind').hover();
  await alice.message('Never mind').getByTestId('message-menu').click();
  await alice.get('message-delete').click();
  await alice.get('confirm').click();
  for (const person of [alice, bob]) {
    await person.eventuallySees(['Meet at four', '']);
    assert.equal(await person.page.locator('[data-deleted=true]').count(), 1);
  }
  await bob.page.reload();
  await bob.eventuallySees(['Meet at four', '']);
});

test('the arrow up edits what one said last', async () => {
  const alice = await here.person('Alice');
  await alice.createsRoom(unique('alone'));
  await alice.says('First');
  await alice.says('Secnod');
  await alice.get('composer').press('ArrowUp');
  await alice.get('edit-input').fill('Second');
  await alice.get('edit-input').press('Enter');
  await alice.eventuallySees(['First', 'Second']);
  await alice.writes('Third');
  await alice.eventuallySees(['First', 'Second', 'Third']);
});

test('older messages come while scrolling up, without a hole', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('archive');
  await alice.createsRoom(room);
  const all = Array.from({ length: 130 }, (_, index) => `line ${index + 1}`);
  for (const text of all) await alice.writes(text);
  await alice.eventuallySees(all);
  await bob.joins(room);
  await bob.sees('line 130');
  assert.ok((await bob.texts()).length < 130, 'the first page is not everything');
  // The topmost row in sight: where rows are that nobody sees is only estimated. Scrolled and measured in one step, for what comes
  // above must not be there yet.
  const seen = await bob.get('timeline').evaluateHandle((timeline) => {
    timeline.scrollTop = 200;
    const edge = timeline.getBoundingClientRect().top;
    const rows = [...timeline.querySelectorAll('[data-row]')];
    const row = rows.find((row) => row.getBoundingClientRect().bottom > edge);
    return { row, top: row.getBoundingClientRect().top, rows: rows.length };
  });
  const moved = () => seen.evaluate(({ row, top }) => row.getBoundingClientRect().top - top);
  const rows = await seen.evaluate(({ rows }) => rows);
  await eventually('older messages are there', async () => (await bob.texts()).length > rows);
  const by = await moved();
  assert.ok(Math.abs(by) < 2, `the reader stays where they are, and was moved by ${by}`);
  await eventually('the beginning is there', async () => {
    await bob.get('timeline').evaluate((element) => {
      element.scrollTop = 0;
    });
    return (await bob.texts()).length === 130;
  });
  assert.deepEqual(await bob.texts(), all);
  await bob.get('jump-to-latest').click();
  await eventually('the end is in sight', () => bob.message('line 130').last().isVisible());
});

test('messages are reached, changed and deleted by keyboard alone', async () => {
  const alice = await here.person('Alice');
  await alice.createsRoom(unique('keys'));
  for (const text of ['one', 'two', 'three https://example.org/']) await alice.says(text);
  const press = (key) => alice.page.keyboard.press(key);
  const onRow = (text) =>
    eventually(`the focus is on ${text}`, () =>
      alice.page.evaluate((wanted) => document.activeElement?.textContent?.includes(wanted), text),
    );
  await alice.get('timeline').focus();
  await press('ArrowUp');
  await onRow('three');
  await press('ArrowUp');
  await onRow('two');
  await press('e');
  await alice.get('edit-input').press('End');
  await alice.page.keyboard.type(' and a half');
  await press('Enter');
  await alice.sees('two and a half');
  await alice.get('timeline').focus();
  await press('ArrowUp');
  await press('Delete');
  await alice.get('confirm').waitFor();
  await press('Tab');
  await press('Enter');
  await alice.eventuallySees(['one', 'two and a half', '']);
});
