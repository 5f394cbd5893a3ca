/** People in browsers of their own, so that stories read as what people do and see. */
import { randomBytes } from 'node:crypto';
import { chromium } from 'playwright-core';
import { eventually } from './wait.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
export const PASSWORD = 'a long enough secret';

export async function openWorld(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  return {
    /** Somebody new, signed in. */
    async person(name, options = {}) {
      const context = await browser.newContext({ baseURL: url, viewport: { width: 1200, height: 800 }, ...options });
      const person = new Person(name, context, await context.newPage());
      await person.signsUp();
      return person;
    },
    /** A browser in which nobody is signed in. */
    async stranger() {
      const context = await browser.newContext({ baseURL: url });
      return new Person('stranger', context, await context.newPage());
    },
    close: () => browser.close(),
  };
}

/** Room names that are not taken when stories share a server. */
export function unique(name) {
  return `${name} ${randomBytes(3).toString('hex')}`;
}

export class Person {
  constructor(name, context, page) {
    this.name = name;
    this.username = `${name.toLowerCase()}-${randomBytes(4).toString('hex')}`;
    this.context = context;
    this.use(page);
  }

  use(page) {
    this.page = page;
    this.errors = [];
    page.on('pageerror', (error) => this.errors.push(error.message));
  }

  get(testId, filter) {
    const locator = this.page.getByTestId(testId);
    return filter ? locator.filter(filter) : locator;
  }

  async signsUp() {
    await this.page.goto('/');
    await this.get('mode-signup').click();
    await this.get('username').fill(this.username);
    await this.get('display-name').fill(this.name);
    await this.get('password').fill(PASSWORD);
    await this.get('submit').click();
    await this.isSignedIn();
  }

  async signsIn(username = this.username, password = PASSWORD) {
    await this.get('username').fill(username);
    await this.get('password').fill(password);
    await this.get('submit').click();
  }

  async isSignedIn() {
    await this.get('my-name', { hasText: this.name }).waitFor();
    await this.isLive();
  }

  isLive() {
    return this.page.locator('[data-testid=banner][data-phase=live]').waitFor({ state: 'attached' });
  }

  async createsRoom(name, kind = 'public') {
    await this.get('create-room').click();
    await this.get('room-name').fill(name);
    await this.get(`kind-${kind}`).click();
    await this.get('create-room-submit').click();
    await this.isIn(name);
  }

  async joins(name) {
    await this.get('browse-rooms').click();
    await this.get('public-room', { hasText: name }).getByTestId('join-room').click();
    await this.isIn(name);
  }

  async opens(name) {
    await this.room(name).click();
    await this.isIn(name);
  }

  room(name) {
    return this.get('room-item', { hasText: name });
  }

  isIn(name) {
    return this.get('room-title', { hasText: name }).waitFor();
  }

  /** Written and sent off; whether it arrived is another matter. */
  async writes(text) {
    await this.get('composer').fill(text);
    await this.get('composer').press('Enter');
  }

  async says(text) {
    await this.writes(text);
    await this.sees(text);
  }

  message(text) {
    return this.get('message-item', { hasText: text });
  }

  sees(text) {
    return this.message(text).last().waitFor();
  }

  /** What stands in the timeline, in order; deleted ones leave their place empty. */
  async timeline() {
    return this.page.$$eval('[data-testid=message-item]', (items) =>
      items.map((item) => {
        const body = item.querySelector('[data-testid=message-body] .prose-message');
        return { seq: Number(item.dataset.seq), text: body?.textContent?.trim() ?? '' };
      }),
    );
  }

  async texts() {
    return (await this.timeline()).map((message) => message.text);
  }

  async eventuallySees(texts) {
    await eventually(`${this.name} sees ${texts.join(', ')}`, async () => {
      const seen = await this.texts();
      return texts.length === seen.length && texts.every((text, index) => text === seen[index]);
    }).catch(async (cause) => {
      throw new Error(`${cause.message}; instead: ${(await this.texts()).join(', ')}`);
    });
  }

  goesOffline() {
    return this.context.setOffline(true);
  }

  comesBack() {
    return this.context.setOffline(false);
  }
}
