/** One world for the stories of a file. */
import { after, before } from 'node:test';
import { openWorld } from './people.mjs';

export function world() {
  const url = process.env.LOQUAT_URL;
  if (!url) throw new Error('stories are started by run.mjs');
  const holder = {};
  before(async () => Object.assign(holder, await openWorld(url)));
  after(() => holder.close());
  return holder;
}
