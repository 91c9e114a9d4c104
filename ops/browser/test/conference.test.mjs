/** Video conferences: in the building over the box, over the cloud where the box is weak, and through the box's death. */
import assert from 'node:assert/strict';
import { before } from 'node:test';
import { assembled, badge, colourOf, frameRates, join, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { forwarded, mediaPid } from '../lib/metrics.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

/** Of each other person's picture, in every step of the time that is watched. */
const FPS_MIN = 10;
const WATCH = { steps: 6, stepMs: 5_000 };
/** From the death of the media process to pictures of everybody at everybody. */
const FAILOVER_MAX_MS = 10_000;
/** First pictures of people who have just joined, on a machine that encodes all of them. */
const FIRST_PICTURES_MAX_MS = 20_000;
/** One beep and one pause of the fake microphones are half a second; noise suppression and jitter buffers need a while. */
const LISTEN_MS = 8_000;
/** Eight beeps long. */
const QUIET_MS = 4_000;

suite('conference', (suite) => {
  /** @type {import('../lib/stack.mjs').Stack} */ let stack;

  before(() => {
    stack = suite.stack;
  });

  /** A browser of one's own with a camera in one's own colour and a voice at one's own pitch. */
  const enter = async (look, school, who) => {
    const own = sources(look, { width: 640, height: 360 });
    suite.cleanup(own.close);
    const browser = await suite.browser(own.args);
    return Person.signedIn(browser, stack.url(school), who);
  };
  const othersOf = (people, person) => people.filter((other) => other !== person);

  /** @type {Person[]} */ let atNord;

  suite.claim('three at Nord see each other at 10 frames/s or more for 30 s and hear each other, over the box alone', async () => {
    const { room, teacher, pupils } = CLASSES.nord;
    atNord = await Promise.all([teacher, pupils[0], pupils[1]].map((who, n) => enter(LOOKS[n], 'nord', who)));
    const [maria, ...others] = atNord;
    await open(maria, room);
    await Promise.all(others.map(join));
    await assembled(atNord);
    for (const person of atNord) await badge(person, 'box').waitFor();
    await picturesOfAll(atNord);

    const before = await forwarded(stack, 'nord');
    const energyBefore = await Promise.all(atNord.map(async (person) => (await snapshot(person)).audioEnergy));
    const rates = await Promise.all(atNord.map((person) => frameRates(person, WATCH)));
    for (const [n, person] of atNord.entries()) {
      const names = othersOf(atNord, person).map(({ name }) => name);
      assert.deepEqual(Object.keys(rates[n]).sort(), names.sort());
      for (const [name, steps] of Object.entries(rates[n])) {
        const text = steps.map((rate) => rate.toFixed(1)).join(' ');
        console.log(`pictures: ${person.name} sees ${name} at ${text} frames/s`);
        assert.ok(steps.length === WATCH.steps && Math.min(...steps) >= FPS_MIN, `${person.name} sees ${name} at ${text} frames/s`);
      }
      assert.ok((await snapshot(person)).audioEnergy > energyBefore[n], `${person.name} hears something`);
      assert.equal((await snapshot(person)).joins, 1);
    }
    const after = await forwarded(stack, 'nord');
    assert.ok(after.box > before.box + 1_000, `the box forwarded ${after.box - before.box} packets`);
    assert.equal(after.relay, 0, 'the relay forwarded nothing');
  });

  suite.claim("everybody sees the others' own pictures under their names, and hears the others' voices, not one's own", async () => {
    await Promise.all(
      atNord.map(async (person, n) => {
        const expected = othersOf(LOOKS, LOOKS[n]);
        const pitches = expected.map(({ pitchHz }) => pitchHz);
        assert.deepEqual(await pitchesHeard(person, LOOKS.map(({ pitchHz }) => pitchHz), LISTEN_MS), pitches, `${person.name} hears`);
        for (const other of othersOf(atNord, person)) {
          const { colour } = LOOKS[atNord.indexOf(other)];
          await until(`${person.name} sees ${other.name} in ${colour}`, 5_000, async () => (await colourOf(person, other.name)) === colour);
        }
      }),
    );
  });

  suite.claim('a microphone that is off is not heard, a camera that is off sends nothing, a raised hand is seen', async () => {
    const [maria, emilia, noah] = atNord;
    const press = ({ page, words }, control) =>
      page.getByRole('toolbar').getByRole('button', { name: words.conference[control] }).click();
    const seenBy = async (person, other) => (await snapshot(person)).participants.find(({ name }) => name === other.name);
    await press(emilia, 'microphone');
    await press(emilia, 'camera');
    await press(emilia, 'raise');
    for (const person of [maria, noah]) {
      await until(`${person.name} is told`, 5_000, async () => {
        const { microphone, camera, hand } = await seenBy(person, emilia);
        return !microphone && !camera && hand;
      });
      await person.page.getByText(person.words.conference.raised).first().waitFor();
    }
    await until('her picture stands still', 10_000, async () => {
      const rates = await Promise.all([maria, noah].map((person) => frameRates(person, { steps: 1, stepMs: 1_000 })));
      return rates.every((of) => (of[emilia.name]?.[0] ?? 0) === 0);
    });
    const own = LOOKS[1].pitchHz;
    assert.deepEqual(await pitchesHeard(maria, [own], QUIET_MS), [], 'nobody hears her');
    await press(emilia, 'microphone');
    await press(emilia, 'camera');
    await press(emilia, 'lower');
    assert.deepEqual(await pitchesHeard(maria, [own], LISTEN_MS), [own], 'she is heard again');
    await until('she is seen again', 10_000, async () => (await colourOf(noah, emilia.name)) === LOOKS[1].colour);
  });

  suite.claim(`kill -9 of the box's media process: everybody has pictures again within ${FAILOVER_MAX_MS / 1_000} s, without a reload, over the relay`, async () => {
    const marks = await Promise.all(atNord.map(({ page }) => page.evaluate(() => (window.mark = crypto.randomUUID()))));
    const pid = await mediaPid(stack, 'nord');
    process.kill(pid, 'SIGKILL');
    const killedAt = performance.now();
    await Promise.all(
      atNord.map(async (person) => {
        await person.page.waitForFunction(
          (people) => {
            const now = window.__schulhof.conference();
            const others = now?.participants.filter(({ me }) => !me) ?? [];
            return now?.joins > 1 && now.nodeKind === 'relay' && others.length === people - 1 && others.every((other) => other.framesDecoded > 0);
          },
          atNord.length,
          { polling: 100, timeout: FAILOVER_MAX_MS },
        );
        console.log(`failover: ${person.name} after ${((performance.now() - killedAt) / 1_000).toFixed(1)} s`);
      }),
    );
    const before = await forwarded(stack, 'nord');
    const rates = await Promise.all(atNord.map((person) => frameRates(person, { steps: 1, stepMs: 4_000 })));
    for (const [n, person] of atNord.entries()) {
      for (const [name, [rate]] of Object.entries(rates[n])) {
        assert.ok(rate > 5, `${person.name} sees ${name} at ${rate.toFixed(1)} frames/s`);
      }
      await badge(person, 'relay').waitFor();
      assert.equal(await person.page.evaluate(() => window.mark), marks[n], 'the page was not loaded again');
      const { joins, phase, audioEnergy } = await snapshot(person);
      assert.deepEqual({ joins, phase }, { joins: 2, phase: 'connected' }, person.name);
      assert.ok(audioEnergy > 0, `${person.name} hears again`);
    }
    const after = await forwarded(stack, 'nord');
    assert.ok(after.relay > before.relay, 'the relay forwards');
    await until('the box has a media process again', 20_000, async () => {
      const now = await mediaPid(stack, 'nord').catch(() => pid);
      return now !== pid;
    });
    for (const person of atNord) await person.close();
  });

  suite.claim('six at Süd, whose box is weak, all have pictures and sound over the relay', async () => {
    const { room, teacher, pupils } = CLASSES.sued;
    const own = sources(LOOKS[0], { width: 320, height: 180 });
    suite.cleanup(own.close);
    const browser = await suite.browser(own.args);
    const people = [];
    for (const who of [teacher, ...pupils]) people.push(await Person.signedIn(browser, stack.url('sued'), who));
    const before = await forwarded(stack, 'sued');
    const [katrin, ...others] = people;
    await open(katrin, room);
    await Promise.all(others.map(join));
    await assembled(people);
    for (const person of people) {
      await badge(person, 'relay').waitFor();
      await until(`${person.name} sees everybody and hears somebody`, FIRST_PICTURES_MAX_MS, async () => {
        const { participants, audioEnergy, nodeKind } = await snapshot(person);
        const others = participants.filter(({ me }) => !me);
        return nodeKind === 'relay' && audioEnergy > 0 && others.length === 5 && others.every(({ framesDecoded }) => framesDecoded > 10);
      });
    }
    const after = await forwarded(stack, 'sued');
    assert.ok(after.relay > before.relay + 1_000, `the relay forwarded ${after.relay - before.relay} packets`);
    assert.equal(after.box, 0, 'the box forwarded nothing');
  });

  async function picturesOfAll(people) {
    for (const person of people) {
      await until(`${person.name} sees everybody`, FIRST_PICTURES_MAX_MS, async () => {
        const { participants } = await snapshot(person);
        return participants.filter(({ me, framesDecoded }) => !me && framesDecoded > 0).length === people.length - 1;
      });
    }
  }
});
