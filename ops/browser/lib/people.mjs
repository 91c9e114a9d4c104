/** People at the demo schools, each with a browser profile of their own. */
import { WORDS } from './words.mjs';

export const PASSWORD = 'schulhof';
/** Loading the page, checking a password, in a debug build beside running conferences. */
const STEP_MAX_MS = 20_000;

/** A class of each demo school: a room that its people are in. */
export const CLASSES = {
  nord: {
    admin: { login: 'p.hoffmann', name: 'Petra Hoffmann' },
    room: 'Klasse 5a',
    teacher: { login: 'm.weber', name: 'Maria Weber' },
    pupils: [
      { login: 'e.mueller', name: 'Emilia Müller' },
      { login: 'n.schmidt', name: 'Noah Schmidt' },
      { login: 'm.yildiz', name: 'Mia Yıldız' },
    ],
  },
  sued: {
    room: 'Klasse 1a',
    teacher: { login: 'k.becker', name: 'Katrin Becker' },
    pupils: [
      { login: 'l.huber', name: 'Luca Huber' },
      { login: 'z.nguyen', name: 'Zeynep Nguyen' },
      { login: 'p.fuchs', name: 'Paul Fuchs' },
      { login: 's.lang', name: 'Sophia Lang' },
      { login: 'e.scholz', name: 'Emir Scholz' },
    ],
  },
};

/**
 * @typedef {object} Options
 * @property {'de' | 'en'} [language]
 * @property {'light' | 'dark'} [theme]
 * @property {{ width: number, height: number }} [viewport]
 * @property {boolean} [bypassCSP] for what a test puts into the page
 */

export class Person {
  /** Errors that the page wrote to its console or threw, and breaches of its Content-Security-Policy. @type {string[]} */
  faults = [];
  /** Whom the page has talked to. @type {Set<string>} */
  origins = new Set();

  /**
   * @param {import('playwright-core').BrowserContext} context
   * @param {import('playwright-core').Page} page
   * @param {string} url
   * @param {string} name
   * @param {'de' | 'en'} language
   */
  constructor(context, page, url, name, language) {
    this.context = context;
    this.page = page;
    this.url = url;
    this.name = name;
    this.words = WORDS[language];
    this.#watch();
  }

  /**
   * Opens the school's page in a profile of its own; nobody is signed in yet.
   * @param {import('playwright-core').Browser} browser
   * @param {string} url
   * @param {Options & { name?: string }} [options]
   */
  static async visit(browser, url, { name = 'a visitor', language = 'de', theme = 'light', viewport, bypassCSP = false } = {}) {
    const context = await browser.newContext({
      bypassCSP,
      colorScheme: theme,
      locale: 'de-DE',
      timezoneId: 'Europe/Berlin',
      viewport: viewport ?? { width: 1280, height: 800 },
    });
    context.setDefaultTimeout(STEP_MAX_MS);
    await context.grantPermissions(['camera', 'microphone']);
    const page = await context.newPage();
    const person = new Person(context, page, url, name, language);
    await page.goto(url);
    if (language === 'en') await page.getByRole('button', { name: 'English' }).click();
    await page.getByRole('heading', { name: person.words.login.title }).waitFor();
    return person;
  }

  /**
   * Opens the page and signs in.
   * @param {import('playwright-core').Browser} browser
   * @param {string} url
   * @param {{ login: string, name: string }} who
   * @param {Options} [options]
   */
  static async signedIn(browser, url, who, options = {}) {
    const person = await Person.visit(browser, url, { ...options, name: who.name });
    await person.enter(who);
    return person;
  }

  /** Signs in, and waits for the first page. @param {{ login: string }} who */
  async enter(who) {
    await this.signIn(who.login, PASSWORD);
    await this.inNavigation('messages').waitFor();
  }

  /** Fills in the form and sends it. */
  async signIn(login, password) {
    const { user, password: secret, submit } = this.words.login;
    await this.page.getByLabel(user).fill(login);
    await this.page.getByLabel(secret, { exact: true }).fill(password);
    await this.page.getByRole('button', { name: submit }).click();
  }

  async signOut() {
    await this.page.getByRole('button', { name: this.words.settings.open }).click();
    await this.page.getByRole('button', { name: this.words.settings.signOut }).click();
    await this.page.getByRole('heading', { name: this.words.login.title }).waitFor();
  }

  /** A link of the main navigation. @param {'home' | 'messages'} place */
  inNavigation(place) {
    const { nav } = this.words;
    return this.page.getByRole('navigation', { name: nav.label }).getByRole('link', { name: nav[place] });
  }

  async goHome() {
    await this.inNavigation('home').click();
  }

  /** @param {string} room its name */
  async openRoom(room) {
    if (await this.composer(room).isVisible()) return;
    await this.inNavigation('messages').click();
    await this.page.getByRole('navigation', { name: this.words.nav.messages }).getByRole('link', { name: room }).click();
    await this.composer(room).waitFor();
  }

  /** @param {string} room its name */
  composer(room) {
    return this.page.getByRole('textbox', { name: this.words.messages.write(room) });
  }

  /** @param {string} room @param {string} text */
  async write(room, text) {
    await this.composer(room).fill(text);
    await this.composer(room).press('Enter');
  }

  /** A message that is shown. @param {string} text */
  message(text) {
    return this.page.getByRole('article').filter({ hasText: text });
  }

  async close() {
    await this.context.close();
  }

  #watch() {
    const { context, page } = this;
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol !== 'data:' && url.protocol !== 'blob:') this.origins.add(url.origin);
    });
    page.on('websocket', (socket) => this.origins.add(new URL(socket.url()).origin.replace(/^ws/, 'http')));
    page.on('pageerror', (error) => this.faults.push(`thrown: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      this.faults.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
  }
}
