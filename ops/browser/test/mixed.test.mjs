/** One conference at two nodes: people in the building on the box, people at home on the relay, over the trunk between them. */
import assert from 'node:assert/strict';
import { assembled, badge, colourOf, frameRates, join, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

/** The gateway loads the school at its first request, in a debug build on a busy machine. */
const LOADED_MAX_MS = 30_000;
const FIRST_PICTURES_MAX_MS = 20_000;
const LISTEN_MS = 8_000;
/** A dead connection is noticed after three seconds. */
const SPLIT_MAX_MS = 10_000;
/** From the line's return until everybody is there again; a machine that encodes four cameras has a part in it. */
const MERGED_MAX_MS = 10_000;
/** In each second, on a machine that encodes four cameras: a second of standstill would be a gap. */
const FPS_MIN = 5;

suite('mixed', (suite) => {
  /** @type {Person[]} */ let people;
  const othersOf = (person) => people.filter((other) => other !== person);
  const lookOf = (person) => LOOKS[people.indexOf(person)];

  suite.claim('people in the building over the box and people at home over the relay see and hear each other in one conference', async () => {
    const { stack } = suite;
    const { room, teacher, pupils } = CLASSES.nord;
    const enter = async (look, url, who) => {
      const own = sources(look, { width: 640, height: 360 });
      suite.cleanup(own.close);
      return Person.signedIn(await suite.browser(own.args), url, who);
    };
    const { url, gateway } = stack.node('nord');
    await until('the gateway has the school', LOADED_MAX_MS, async () => (await fetch(`${gateway}/api/session`)).status === 401);
    people = await Promise.all([enter(LOOKS[0], url, teacher), enter(LOOKS[1], url, pupils[0]), enter(LOOKS[2], gateway, pupils[1])]);
    const [maria, emilia, noah] = people;
    await open(maria, room);
    await Promise.all([join(emilia), join(noah)]);
    await assembled(people);
    for (const person of [maria, emilia]) await badge(person, 'box').waitFor();
    await badge(noah, 'relay').waitFor();

    for (const person of people) {
      for (const other of othersOf(person)) {
        const { colour } = lookOf(other);
        await until(`${person.name} sees ${other.name} in ${colour}`, FIRST_PICTURES_MAX_MS, async () => (await colourOf(person, other.name)) === colour);
      }
    }
    await Promise.all(
      people.map(async (person) => {
        const expected = othersOf(person).map((other) => lookOf(other).pitchHz);
        const pitches = LOOKS.map(({ pitchHz }) => pitchHz);
        assert.deepEqual(await pitchesHeard(person, pitches, LISTEN_MS), expected.sort((a, b) => a - b), `${person.name} hears`);
      }),
    );
    const orders = await Promise.all(people.map(async (person) => (await snapshot(person)).participants.map(({ name }) => name).sort()));
    assert.deepEqual(orders[1], orders[0]);
    assert.deepEqual(orders[2], orders[0]);
  });

  suite.claim('without the line the building goes on without a gap, and is one room with those at home again when it is back', async () => {
    const { stack } = suite;
    const [maria, emilia] = people;
    const { pid } = stack.node('relay-1');
    const watching = Promise.all([maria, emilia].map((person) => frameRates(person, { steps: 8, stepMs: 1_000 })));
    process.kill(pid, 'SIGSTOP');
    try {
      for (const person of [maria, emilia]) {
        await until(`${person.name} is told that those at home are gone`, SPLIT_MAX_MS, async () => (await snapshot(person)).participants.length === 2);
      }
      for (const [n, rates] of (await watching).entries()) {
        const other = [emilia, maria][n];
        const text = rates[other.name].map((rate) => rate.toFixed(0)).join(' ');
        console.log(`cut: ${[maria, emilia][n].name} sees ${other.name} at ${text} frames/s`);
        assert.ok(Math.min(...rates[other.name]) >= FPS_MIN, `${other.name}'s picture at ${text} frames/s`);
      }
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const backAt = performance.now();
    await until('all three are in one room again', MERGED_MAX_MS, async () => {
      const now = await Promise.all(people.map(snapshot));
      return now.every((view) => view?.phase === 'connected' && view.participants.length === 3);
    });
    console.log(`merged after ${((performance.now() - backAt) / 1_000).toFixed(1)} s`);
    await until('everybody sees everybody', FIRST_PICTURES_MAX_MS, async () => {
      const seen = await Promise.all(people.flatMap((person) => othersOf(person).map(async (other) => (await colourOf(person, other.name)) === lookOf(other).colour)));
      return seen.every(Boolean);
    });
    for (const person of [maria, emilia]) assert.equal((await snapshot(person)).joins, 1, `${person.name} stayed where she was`);
  });
});
