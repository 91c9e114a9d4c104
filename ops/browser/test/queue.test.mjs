/** When everything is taken: one reads one's place in the queue, in words, and goes in without doing anything. */
import { before } from 'node:test';
import { assembled, join, open } from '../lib/conference.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { suite } from '../lib/suite.mjs';

const { room, teacher, pupils } = CLASSES.nord;
/** Places that the box tells one after the other, before it gives a ticket. */
const PLACES = [12, 3];
const AGAIN_MS = 1_500;
const WORDS = {
  de: { queued: 'Gerade ist alles belegt', place: (n) => `Platz ${n} in der Warteschlange. Es geht von selbst weiter.` },
  en: { queued: 'Everything is taken right now', place: (n) => `You are number ${n} in the queue. It goes on by itself.` },
};

suite('queue', (suite) => {
  /** @type {import('../lib/stack.mjs').Stack} */ let stack;
  /** @type {import('playwright-core').Browser} */ let browser;
  /** @type {Person} */ let maria;

  before(async () => {
    stack = suite.stack;
    browser = await suite.browser();
  });

  /** The box's answers for somebody who comes while all places are taken. @param {Person} person */
  const allTaken = ({ page }) => {
    const places = [...PLACES];
    return page.route('**/api/conferences/*/ticket', async (route) => {
      const position = places.shift();
      if (position === undefined) return route.continue();
      return route.fulfill({ json: { type: 'queued', position, retry_after_ms: AGAIN_MS } });
    });
  };
  /** @param {Person} person @param {'de' | 'en'} language */
  const readsPlaces = async ({ page }, language) => {
    const status = page.getByRole('status').filter({ hasText: WORDS[language].queued });
    for (const place of PLACES) await status.getByText(WORDS[language].place(place)).waitFor();
  };

  suite.claim('a teacher on a desktop, in German', async () => {
    maria = await Person.signedIn(browser, stack.url('nord'), teacher);
    await allTaken(maria);
    await open(maria, room);
    await readsPlaces(maria, 'de');
    await assembled([maria]);
  });

  suite.claim('a pupil with a phone, in English', async () => {
    const options = { language: /** @type {const} */ ('en'), viewport: { width: 390, height: 844 } };
    const emilia = await Person.signedIn(browser, stack.url('nord'), pupils[0], options);
    await allTaken(emilia);
    await join(emilia);
    await readsPlaces(emilia, 'en');
    await assembled([maria, emilia]);
  });
});
