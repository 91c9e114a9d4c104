/** Without the box everything goes on over the cloud gateway; what was refused is never lost: said in words, kept with its text. */
import assert from 'node:assert/strict';
import { Api } from '../lib/api.mjs';
import { violations } from '../lib/audit.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { suite } from '../lib/suite.mjs';
import { MARKS } from '../lib/words.mjs';

const { room, teacher, pupils } = CLASSES.nord;

/** A suspicion (3 s), the decision (2.5 s), and the school's loading at the gateway, in a debug build on a busy machine. */
const AWAY_MAX_MS = 30_000;
/** Starting again, and answering steadily for a while before anybody comes back. */
const RETURN_MAX_MS = 60_000;

suite('away', (suite) => {
  suite.claim('when the box dies its people go on over the cloud, and back when it is there again, signed in all the while', async () => {
    const { stack } = suite;
    const browser = await suite.browser();
    const maria = await Person.signedIn(browser, stack.url('nord'), teacher);
    const emilia = await Person.signedIn(browser, stack.url('nord'), pupils[0]);
    await Promise.all([maria.openRoom(room), emilia.openRoom(room)]);
    await maria.write(room, 'Erstens, an der Box');
    await emilia.message('Erstens, an der Box').waitFor();
    const loaded = await maria.page.evaluate(() => (window.mark = crypto.randomUUID()));

    await stack.takeDown('nord');
    const banner = (person) => person.page.getByText(person.words.overCloud);
    await Promise.all([banner(maria), banner(emilia)].map((shown) => shown.waitFor({ timeout: AWAY_MAX_MS })));
    await maria.write(room, 'Zweitens, in der Cloud');
    await maria.message('Zweitens, in der Cloud').getByTitle(MARKS.secured).waitFor();
    await emilia.message('Zweitens, in der Cloud').waitFor();
    await emilia.write(room, 'Drittens, in der Cloud');
    await maria.message('Drittens, in der Cloud').waitFor();
    // A page that is opened while the box is dead comes out of the browser's own store, and in over the gateway.
    await emilia.page.reload();
    await emilia.openRoom(room);
    await emilia.message('Drittens, in der Cloud').waitFor({ timeout: AWAY_MAX_MS });

    stack.bringUp();
    await Promise.all([banner(maria), banner(emilia)].map((shown) => shown.waitFor({ state: 'detached', timeout: RETURN_MAX_MS })));
    await maria.write(room, 'Viertens, an der Box');
    await maria.message('Viertens, an der Box').getByTitle(MARKS.secured).waitFor();
    await emilia.message('Viertens, an der Box').waitFor();
    for (const text of ['Erstens, an der Box', 'Zweitens, in der Cloud', 'Drittens, in der Cloud', 'Viertens, an der Box']) {
      for (const person of [maria, emilia]) assert.equal(await person.message(text).count(), 1, `${text} once`);
    }
    assert.equal(await maria.page.evaluate(() => window.mark), loaded, 'the page was not loaded again, nor anybody signed in again');
    const allowed = stack.origins('nord');
    for (const person of [maria, emilia]) for (const origin of person.origins) assert.ok(allowed.includes(origin), origin);
  });

  suite.claim('what was refused is said in words where its writer finds it, with its text, until it is discarded', async () => {
    const { stack } = suite;
    const api = await Api.login(stack.url('nord'), teacher.login);
    const people = await api.get('/api/people');
    const noahs = pupils[1];
    const noah = await Person.signedIn(await suite.browser(), stack.url('nord'), noahs);
    const account = people.find(({ name }) => name === noahs.name).account;
    const club = { id: `club-${Date.now()}`, name: 'Schach-AG' };
    await api.submit([{ type: 'room.create', room: club.id, name: club.name, members: [account] }]);
    await noah.openRoom(club.name);
    await noah.page.route('**/api/operations', (route) => route.abort());
    await noah.write(club.name, 'Ich bringe die Figuren mit.');
    await noah.message('Ich bringe die Figuren mit.').getByTitle(MARKS.waiting).waitFor();
    await api.submit([{ type: 'room.members', room: club.id, add: [], remove: [account] }]);
    await noah.page.unroute('**/api/operations');
    await noah.goHome();
    const card = noah.page.getByRole('region', { name: noah.words.refused.title });
    await card.getByText(noah.words.refused.notAMember).waitFor();
    await noah.page.reload();
    await card.getByText('Ich bringe die Figuren mit.').waitFor();
    assert.deepEqual(await violations(noah.page), []);
    await card.getByRole('button', { name: noah.words.refused.discard }).click();
    await card.waitFor({ state: 'detached' });
    await noah.page.reload();
    await noah.page.getByText(noah.words.boxOk).waitFor();
    assert.equal(await card.count(), 0);
  });
});
