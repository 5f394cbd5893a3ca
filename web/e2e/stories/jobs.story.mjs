import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openWorld, unique } from '../people.mjs';
import { startServer } from '../server.mjs';
import { eventually } from '../wait.mjs';

// A server of its own: whoever comes first owns it.
let server;
let here;
let owner;

before(async () => {
  server = await startServer();
  here = await openWorld(server.url);
  owner = await here.person('Olga');
});
after(async () => {
  await here?.close();
  await server?.stop();
});

test('the queues and jobs are seen as they are, and a job is run by hand', async () => {
  await owner.page.goto('/admin/jobs');
  await owner.get('queue-row').first().waitFor();
  await owner.get('jobs-chart').waitFor();
  assert.equal(await owner.get('bus-problem').count(), 0);
  const handled = async () => {
    const rows = await owner.get('queue-row').evaluateAll((all) => all.map((row) => row.cells[5].textContent));
    return rows.reduce((sum, text) => sum + Number(text.replace(/\D/g, '')), 0);
  };
  const earlier = await handled();
  const bob = await here.person('Bob');
  await bob.createsRoom(unique('busy'));
  // Events are only brought to the bus when somebody waits for their kind: a file is what the worker waits for.
  await bob
    .get('file-input')
    .setInputFiles({ name: 'plan.txt', mimeType: 'text/plain', buffer: Buffer.from('There is much to do') });
  await eventually('what was handled is counted, without a reload', async () => (await handled()) > earlier, 30_000);
  await owner.get('job-row').first().getByTestId('job-run').click();
  await owner.get('toast', { hasText: 'runs within a second' }).waitFor();
});

test('a webhook tells its secret once, and what was sent stands in its log', async () => {
  await owner.page.goto('/admin/webhooks');
  await owner.get('webhook-new').click();
  await owner.get('webhook-url').fill('ftp://example.org/');
  await owner.get('webhook-create').click();
  await eventually('the address is refused at its field', async () => {
    return (await owner.get('webhook-url').getAttribute('aria-invalid')) === 'true';
  });
  // Nothing within private networks is called: what was tried is in the log as well.
  await owner.get('webhook-url').fill('http://127.0.0.1:9/hook');
  await owner.get('webhook-create').click();
  assert.match(await owner.get('webhook-secret-value').inputValue(), /^whsec_/);
  await owner.get('webhook-secret-done').click();
  await owner.page.goto('/');
  await owner.createsRoom(unique('telling'));
  await owner.says('Pass it on');
  await owner.page.goto('/admin/webhooks');
  const hook = owner.get('webhook-item', { hasText: '127.0.0.1:9' });
  await hook.waitFor();
  await eventually('it is in the log', async () => {
    await hook.getByTestId('webhook-log').click();
    await owner
      .get('delivery-row')
      .first()
      .waitFor({ timeout: 1000 })
      .catch(() => {});
    const there = await owner.get('delivery-row', { hasText: 'message_posted' }).count();
    await hook.getByTestId('webhook-log').click();
    return there > 0;
  });
  await hook.getByTestId('webhook-delete').click();
  await owner.get('confirm').click();
  await hook.waitFor({ state: 'detached' });
  // Both stand in the log of jobs, whose chain is whole.
  await owner.page.goto('/admin/audit');
  await owner.get('audit-log').selectOption('jobs');
  for (const action of ['webhook.created', 'webhook.deleted', 'job.started']) {
    await owner.page.locator(`[data-testid=audit-row][data-action="${action}"]`).first().waitFor();
  }
  await owner.get('audit-verify').click();
  await owner.page.locator('[data-testid=audit-verdict][data-intact=true]').waitFor();
});
