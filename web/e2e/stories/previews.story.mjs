import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { openWorld, unique } from '../people.mjs';
import { startServer } from '../server.mjs';

/** A web site that keeps who asked for what. */
async function site() {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push({ path: request.url, agent: request.headers['user-agent'] ?? '' });
    response.setHeader('content-type', 'text/html');
    response.end(`<title>Fruit of ${request.url.slice(1)}</title><meta property="og:site_name" content="The orchard">
      <meta property="og:description" content="&lt;img src=x onerror=alert(1)&gt; and more">
      <meta property="og:image" content="/picture.png">`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, asked, close: () => server.close() };
}

test('a link gets a card of its words, which its author takes away again', async () => {
  const orchard = await site();
  const server = await startServer({ LOQUAT_WORKER__ALLOW_NETWORKS: '["127.0.0.0/8"]' });
  const here = await openWorld(server.url);
  try {
    // The first account owns the workspace, and so may do more in every public room.
    const [bob, alice] = [await here.person('Bob'), await here.person('Alice')];
    const room = unique('orchard');
    await bob.createsRoom(room);
    await alice.joins(room);
    await alice.writes(`Ripe: ${orchard.url}/may and \`${orchard.url}/code\``);
    await alice.sees('Ripe');
    for (const person of [alice, bob]) {
      const card = person.get('link-preview');
      await card.filter({ hasText: 'Fruit of may' }).waitFor();
      assert.equal(await card.count(), 1);
      const text = await card.textContent();
      assert.match(text, /The orchard · 127\.0\.0\.1/);
      assert.match(text, /<img src=x onerror=alert\(1\)> and more/);
      assert.equal(await card.getAttribute('href'), `${orchard.url}/may`);
      assert.match(await card.getAttribute('rel'), /noopener noreferrer/);
      assert.equal(await card.locator('img').count(), 0);
    }
    await alice.page.reload();
    await alice.get('link-preview', { hasText: 'Fruit of may' }).waitFor();
    // Only the server asked, and only for what is no code.
    assert.deepEqual(
      orchard.asked.map(({ path }) => path),
      ['/may'],
    );
    assert.match(orchard.asked[0].agent, /^loquat/);
    await alice.message('Ripe').hover();
    await alice.get('remove-previews').click();
    for (const person of [alice, bob]) await person.get('link-preview').waitFor({ state: 'detached' });
    await alice.page.reload();
    await alice.sees('Ripe');
    assert.equal(await alice.get('link-preview').count(), 0);
    // Bob runs the room, and may take away what others brought.
    await alice.says(`${orchard.url}/june`);
    await bob.get('link-preview', { hasText: 'Fruit of june' }).waitFor();
    await bob.message('/june').hover();
    await bob.get('remove-previews').click();
    await alice.get('link-preview').waitFor({ state: 'detached' });
    await bob.says(`${orchard.url}/july`);
    await alice.get('link-preview', { hasText: 'Fruit of july' }).waitFor();
    assert.equal(await alice.get('remove-previews').count(), 0, 'what one may not do is not offered');
    assert.deepEqual([...alice.errors, ...bob.errors], []);
  } finally {
    await here.close();
    await server.stop();
    orchard.close();
  }
});
