/** The page is for everybody, keeps to itself, and says what is wrong in plain words. */
import assert from 'node:assert/strict';
import { before } from 'node:test';
import { violations } from '../lib/audit.mjs';
import { assembled, join, open } from '../lib/conference.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { suite } from '../lib/suite.mjs';
import { tour } from '../lib/tour.mjs';

const { room, teacher, pupils } = CLASSES.nord;
/** Tabs from one control to another that is near; more means that something swallows the focus. */
const TABS_MAX = 60;

suite('access', (suite) => {
  /** @type {import('../lib/stack.mjs').Stack} */ let stack;
  /** @type {import('playwright-core').Browser} */ let browser;

  before(async () => {
    stack = suite.stack;
    browser = await suite.browser();
  });

  const screens = { desk: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
  /** Both screens see both languages and both themes. */
  const rounds = /** @type {const} */ ([
    ['de', 'light', 'desk'],
    ['de', 'dark', 'phone'],
    ['en', 'light', 'phone'],
    ['en', 'dark', 'desk'],
  ]);
  for (const [language, theme, screen] of rounds) {
    suite.claim(`axe finds nothing on any page or dialog: ${language}, ${theme}, ${screen}`, async () => {
      const found = [];
      const seen = [];
      await tour(browser, stack, { language, theme, viewport: screens[screen] }, async (name, person) => {
        seen.push(name);
        found.push(...(await violations(person.page)).map((line) => `${name}: ${line}`));
        assert.equal(await person.page.evaluate(() => document.documentElement.lang), language, `language of ${name}`);
      });
      assert.deepEqual(found, []);
      assert.ok(seen.length >= 14, `only saw ${seen}`);
    });
  }

  suite.claim('a message is written and sent with the keyboard alone, from the login on', async () => {
    const person = await Person.visit(browser, stack.url('nord'));
    const { page, words } = person;
    const press = (key) => page.keyboard.press(key);
    /** Tabs on until the control has the focus. */
    const tabTo = async (locator, what) => {
      for (let n = 0; n < TABS_MAX; n += 1) {
        if (await locator.evaluateAll((found) => found.includes(document.activeElement))) return;
        await press('Tab');
      }
      assert.fail(`${what} is not reached with ${TABS_MAX} tabs`);
    };
    await tabTo(page.getByLabel(words.login.user), 'the login');
    await page.keyboard.type(teacher.login);
    await tabTo(page.getByLabel(words.login.password, { exact: true }), 'the password');
    await page.keyboard.type('schulhof');
    await press('Enter');
    await person.inNavigation('messages').waitFor();
    await tabTo(person.inNavigation('messages'), 'the messages');
    await press('Enter');
    const link = page.getByRole('navigation', { name: words.nav.messages }).getByRole('link', { name: room });
    await link.waitFor();
    await tabTo(link, 'the room');
    await press('Enter');
    await person.composer(room).waitFor();
    await tabTo(person.composer(room), 'the writing field');
    await page.keyboard.type('Mit der Tastatur geschrieben');
    await tabTo(page.getByRole('button', { name: words.messages.send }), 'the button that sends');
    await press('Enter');
    await person.message('Mit der Tastatur geschrieben').waitFor();
    assert.equal(await person.composer(room).inputValue(), '');
    await person.close();
  });

  suite.claim('a wrong password is answered in plain words, and the right one works after it', async () => {
    const person = await Person.visit(browser, stack.url('nord'));
    await person.signIn(pupils[2].login, 'falsch');
    const alert = person.page.getByRole('alert').filter({ hasText: person.words.wrongPassword });
    await alert.waitFor();
    assert.deepEqual(await violations(person.page), []);
    await person.signIn(pupils[2].login, 'schulhof');
    await person.inNavigation('messages').waitFor();
    await person.close();
  });

  suite.claim('the page talks to the box and its media nodes only, breaks no rule of its own and logs no error', async () => {
    const url = stack.url('nord');
    const [maria, noah] = await Promise.all([
      Person.signedIn(browser, url, teacher),
      Person.signedIn(browser, url, pupils[1]),
    ]);
    await open(maria, room);
    await join(noah);
    await assembled([maria, noah]);
    await noah.page.getByRole('button', { name: noah.words.conference.leave }).first().click();
    await noah.page.getByRole('link', { name: noah.words.toHome }).click();
    await noah.openRoom(room);
    await noah.write(room, 'Bis morgen!');
    await noah.message('Bis morgen!').waitFor();
    const allowed = stack.origins('nord');
    for (const person of [maria, noah]) {
      const foreign = [...person.origins].filter((origin) => !allowed.includes(origin));
      assert.deepEqual(foreign, [], `${person.name} talked to others`);
      assert.ok(person.origins.has(new URL(url).origin) && person.origins.size >= 2, `${[...person.origins]}`);
      // Chromium itself reports that nobody was signed in on the first visit.
      const faults = person.faults.filter((fault) => !(fault.includes('401') && fault.includes('/api/session')));
      assert.deepEqual(faults, [], person.name);
      await person.close();
    }
  });
});
