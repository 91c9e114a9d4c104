/** What was refused is never lost: said in words, kept with its text. */
import assert from 'node:assert/strict';
import { Api } from '../lib/api.mjs';
import { violations } from '../lib/audit.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { suite } from '../lib/suite.mjs';
import { MARKS } from '../lib/words.mjs';

const { teacher, pupils } = CLASSES.nord;

suite('away', (suite) => {
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
