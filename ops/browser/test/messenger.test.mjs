/** Two people of a class write to each other, with and without the cloud. */
import assert from 'node:assert/strict';
import { before } from 'node:test';
import { Api } from '../lib/api.mjs';
import { violations } from '../lib/audit.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';
import { MARKS } from '../lib/words.mjs';

const { room, teacher, pupils } = CLASSES.nord;
/** Between writing and seeing, in the same building. */
const DELIVERY_MEDIAN_MAX_MS = 300;
const DELIVERIES = 50;
/** More than three pages of history. */
const HISTORY_LEN = 230;
/** Rows that exist at once, however long the history is. */
const ROWS_MAX = 80;
/** Rows at the top of a history that are no messages: its beginning, a day, the line of what is new. */
const FURNITURE_MAX = 3;
/** The box notices a dead core by its silence (3 s), a core that is back by its next try. */
const OUTAGE_NOTICED_MAX_MS = 20_000;
const RECOVERY_MAX_MS = 40_000;

suite('messenger', (suite) => {
  /** @type {import('../lib/stack.mjs').Stack} */ let stack;
  /** @type {Person} */ let maria;
  /** @type {Person} */ let emilia;

  before(async () => {
    stack = suite.stack;
    const browser = await suite.browser();
    [maria, emilia] = await Promise.all([
      Person.signedIn(browser, stack.url('nord'), teacher),
      Person.signedIn(browser, stack.url('nord'), pupils[0]),
    ]);
  });

  const mark = (person, text, meaning) => person.message(text).getByTitle(meaning);

  suite.claim('what one has not read is counted, and reading it clears the count', async () => {
    const api = await Api.login(stack.url('nord'), pupils[1].login);
    const { room: id } = await api.room(room);
    await maria.goHome();
    const link = maria.page.getByRole('main').getByRole('link', { name: room });
    await api.post(id, ['eins', 'zwei', 'drei']);
    await link.getByText(maria.words.messages.unread(3)).waitFor();
    await maria.openRoom(room);
    await maria.message('drei').waitFor();
    const asMaria = await Api.login(stack.url('nord'), teacher.login);
    await until('the box has the read mark', 10_000, async () => (await asMaria.room(room)).unread === 0);
    await maria.goHome();
    await link.waitFor();
    assert.equal(await link.getByText(/ungelesen/).count(), 0);
  });

  suite.claim(`a message is seen in the other browser within ${DELIVERY_MEDIAN_MAX_MS} ms (median of ${DELIVERIES}) and gets both marks`, async () => {
    await Promise.all([maria.openRoom(room), emilia.openRoom(room)]);
    // Both ends tell this process, whose clock is the only one: what telling takes is alike on both sides.
    const sent = new Map();
    const seen = new Map();
    await maria.page.exposeBinding('told', (_, text) => sent.set(text, performance.now()));
    await emilia.page.exposeBinding('told', (_, text) => seen.set(text, performance.now()));
    await maria.page.evaluate(() => {
      document.addEventListener('keydown', (event) => event.key === 'Enter' && window.told(event.target.value), true);
    });
    await emilia.page.evaluate(() => {
      const told = new Set();
      new MutationObserver(() => {
        for (const [text] of document.querySelector('[role=region]').textContent.matchAll(/Zustellung-\d{4}/g)) {
          if (!told.has(text)) window.told(text);
          told.add(text);
        }
      }).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    const delays = [];
    for (let n = 0; n < DELIVERIES; n += 1) {
      // All of one length, so that no text contains another.
      const text = `Zustellung-${1_000 + n}`;
      await maria.write(room, text);
      await until(`${text} arrives`, 10_000, () => seen.has(text));
      delays.push(seen.get(text) - sent.get(text));
    }
    delays.sort((a, b) => a - b);
    const median = delays[DELIVERIES / 2];
    console.log(`delivery: median ${median.toFixed(0)} ms, slowest ${delays.at(-1).toFixed(0)} ms`);
    assert.ok(median < DELIVERY_MEDIAN_MAX_MS, `median ${median} ms of ${delays}`);
    await mark(maria, 'Zustellung-1049', MARKS.secured).waitFor();
    assert.equal(await maria.page.getByTitle(MARKS.saved).count(), 0, 'all that is shown has the second mark');
    assert.equal(await maria.page.getByTitle(MARKS.waiting).count(), 0);
  });

  suite.claim('a long history is read back to its beginning, with few rows in the page at any time', async () => {
    const api = await Api.login(stack.url('nord'), pupils[2].login);
    const { room: id } = await api.room(room);
    const texts = Array.from({ length: HISTORY_LEN }, (_, n) => `Geschichte-${1_000 + n}`);
    await api.post(id, texts);
    await until('all of it is secured', 20_000, async () => (await api.marks()).secured === HISTORY_LEN);
    await emilia.page.reload();
    await emilia.composer(room).waitFor();
    const log = emilia.page.getByRole('region', { name: emilia.words.messages.history });
    await emilia.message(texts.at(-1)).waitFor();

    const found = new Set();
    let rowsMost = 0;
    await until('the beginning is reached', 60_000, async () => {
      const { rows, text } = await log.evaluate((element) => {
        const look = { rows: element.querySelectorAll('li').length, text: element.textContent };
        element.scrollTop -= element.clientHeight * 0.8;
        return look;
      });
      rowsMost = Math.max(rowsMost, rows);
      for (const [word] of text.matchAll(/Geschichte-\d{4}/g)) found.add(word);
      return text.includes(emilia.words.messages.beginning);
    });
    assert.deepEqual([...found].sort(), texts);
    assert.ok(rowsMost <= ROWS_MAX, `${rowsMost} rows at once`);
    assert.ok(rowsMost > 10, `only ${rowsMost} rows: is this the history?`);
    await emilia.message('Willkommen in der 5a!').waitFor();
    await emilia.page.getByRole('button', { name: emilia.words.messages.toNewest }).click();
    await emilia.message(texts.at(-1)).waitFor();
  });

  suite.claim('at the top of what is loaded older messages come in by themselves, and what is read stays where it is', async () => {
    await emilia.page.reload();
    const log = emilia.page.getByRole('region', { name: emilia.words.messages.history });
    await log.waitFor();
    const rows = () => log.evaluate((element) => Number(element.querySelector('li')?.getAttribute('aria-setsize') ?? 0));
    const atBeginning = async () => (await log.textContent()).includes(emilia.words.messages.beginning);
    await until('the beginning is reached', 30_000, async () => {
      const before = await rows();
      await log.evaluate((element) => (element.scrollTop = 0));
      await until('older messages come in, or there are none', 10_000, async () => (await rows()) > before || atBeginning());
      if (await atBeginning()) return true;
      const place = await log.evaluate((element) => {
        const { top } = element.getBoundingClientRect();
        const first = [...element.querySelectorAll('li')].find((row) => row.getBoundingClientRect().bottom > top);
        return Number(first?.getAttribute('aria-posinset'));
      });
      const added = (await rows()) - before;
      assert.ok(Math.abs(place - added) <= FURNITURE_MAX, `${added} rows came in above, and the window begins with row ${place}`);
      return false;
    });
    await emilia.message('Willkommen in der 5a!').waitFor();
    await emilia.page.getByRole('button', { name: emilia.words.messages.toNewest }).click();
  });

  suite.claim('without the cloud messages arrive with the first mark only, and get the second one when it is back', async () => {
    await emilia.page.reload();
    await Promise.all([maria.openRoom(room), emilia.openRoom(room)]);
    const loaded = await maria.page.evaluate(() => (window.mark = crypto.randomUUID()));
    stack.pauseCore();
    try {
      await maria.page.getByRole('status').getByText(maria.words.cloudLost).waitFor({ timeout: OUTAGE_NOTICED_MAX_MS });
      assert.deepEqual(await violations(maria.page), [], 'the page that says so is for everybody, too');
      const texts = ['Ohne Cloud 1', 'Ohne Cloud 2', 'Ohne Cloud 3'];
      for (const text of texts) {
        await maria.write(room, text);
        await emilia.message(text).waitFor();
        await mark(maria, text, MARKS.saved).waitFor();
      }
      // What one's browser holds and what the box holds are both still there, once each.
      await emilia.write(room, 'Antwort ohne Cloud');
      await mark(emilia, 'Antwort ohne Cloud', MARKS.saved).waitFor();
      await emilia.page.reload();
      for (const text of [...texts, 'Antwort ohne Cloud']) await emilia.message(text).waitFor();
      assert.equal(await emilia.message('Antwort ohne Cloud').count(), 1);
      await mark(emilia, 'Antwort ohne Cloud', MARKS.saved).waitFor();
      for (const text of texts) {
        assert.equal(await mark(maria, text, MARKS.saved).count(), 1, text);
        assert.equal(await mark(maria, text, MARKS.secured).count(), 0, text);
      }

      stack.resumeCore();
      for (const text of texts) await mark(maria, text, MARKS.secured).waitFor({ timeout: RECOVERY_MAX_MS });
      await mark(emilia, 'Antwort ohne Cloud', MARKS.secured).waitFor({ timeout: RECOVERY_MAX_MS });
      await maria.page.getByText(maria.words.cloudLost).waitFor({ state: 'detached' });
      assert.equal(await maria.page.evaluate(() => window.mark), loaded, 'without loading the page again');
    } finally {
      stack.resumeCore();
    }
  });

  suite.claim('what waits in the browser survives a reload and is sent when the box takes it', async () => {
    await emilia.openRoom(room);
    await emilia.page.route('**/api/operations', (route) => route.abort());
    const texts = ['Wartend 1', 'Wartend 2', 'Wartend 3'];
    for (const text of texts) {
      await emilia.write(room, text);
      await mark(emilia, text, MARKS.waiting).waitFor();
    }
    await emilia.page.reload();
    for (const text of texts) await mark(emilia, text, MARKS.waiting).waitFor();
    await emilia.page.unroute('**/api/operations');
    for (const text of texts) await mark(emilia, text, MARKS.secured).waitFor({ timeout: RECOVERY_MAX_MS });
    await maria.openRoom(room);
    for (const text of texts) {
      await maria.message(text).waitFor();
      assert.equal(await maria.message(text).count(), 1, `${text} once`);
    }
  });

  suite.claim('on a shared browser nobody posts what another wrote; it is sent when its author signs in again', async () => {
    const [, noah, mia] = pupils;
    const shared = await Person.signedIn(await suite.browser(), stack.url('nord'), noah);
    await shared.openRoom(room);
    await shared.page.route('**/api/operations', (route) => route.abort());
    await shared.write(room, 'Von Noah');
    await mark(shared, 'Von Noah', MARKS.waiting).waitFor();
    await shared.signOut();
    await shared.page.unroute('**/api/operations');

    await shared.enter(mia);
    await shared.openRoom(room);
    await shared.write(room, 'Von Mia');
    await mark(shared, 'Von Mia', MARKS.secured).waitFor();
    await emilia.openRoom(room);
    await emilia.message('Von Mia').waitFor();
    for (const person of [shared, emilia]) assert.equal(await person.message('Von Noah').count(), 0);
    await shared.signOut();

    await shared.enter(noah);
    await shared.openRoom(room);
    await mark(shared, 'Von Noah', MARKS.secured).waitFor();
    await emilia.message('Von Noah').filter({ hasText: noah.name }).waitFor();
  });
});
