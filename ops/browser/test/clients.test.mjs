/** Three stacks that share no code in one room on the box's media node: Chromium and Firefox, with the real page, and aiortc. */
import assert from 'node:assert/strict';
import { AiortcPerson } from '../lib/aiortc.mjs';
import { Api } from '../lib/api.mjs';
import { assembled, energies, keepPeers, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { FirefoxPerson } from '../lib/firefox.mjs';
import { forwarded } from '../lib/metrics.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

/** Frames of each other person that everybody decodes. */
const FRAMES_MIN = 50;
/** All three encode and decode on a small machine. */
const FRAMES_MAX_MS = 40_000;
const LISTEN_MS = 8_000;
const [chromiumLook, firefoxLook, aiortcLook] = LOOKS;

suite('clients', (suite) => {
  /** @type {Person} */ let maria;
  /** @type {FirefoxPerson} */ let emilia;
  /** @type {AiortcPerson} */ let noah;

  suite.claim('Chromium, Firefox and aiortc take part in one conference, and all see and hear each other', async () => {
    const { room, teacher, pupils } = CLASSES.nord;
    const url = suite.stack.url('nord');
    const own = sources(chromiumLook, { width: 640, height: 360 });
    suite.cleanup(own.close);
    maria = await Person.signedIn(await suite.browser(own.args), url, teacher);
    await open(maria, room);
    await assembled([maria]);

    emilia = await FirefoxPerson.launch(pupils[0].name, firefoxLook.pitchHz);
    suite.cleanup(() => emilia.close());
    suite.onFailure((folder) => emilia.photograph(`${folder}/firefox.png`));
    await emilia.signIn(url, pupils[0].login);
    await keepPeers(emilia);
    await emilia.join();

    const { ticket, claims } = await (await Api.login(url, pupils[1].login)).ticket(room);
    noah = new AiortcPerson(pupils[1].name, {
      node: claims.primary.url,
      ticket,
      audio_slots: claims.audio_slots,
      video_slots: claims.video_slots,
      pitch_hz: aiortcLook.pitchHz,
      pitches_hz: [chromiumLook.pitchHz, firefoxLook.pitchHz],
    });
    suite.cleanup(() => noah.close());

    suite.onFailure(() => console.error(`aiortc: ${JSON.stringify(noah.now)}\n${noah.errors.join('\n')}`));

    await eachSeesEach();
    await eachHearsEach();
    const { box, relay } = await forwarded(suite.stack, 'nord');
    assert.ok(box > 1_000 && relay === 0, `the box forwarded ${box} packets, the relay ${relay}`);
  });

  async function eachSeesEach() {
    const names = [maria, emilia, noah].map(({ name }) => name).sort();
    for (const person of [maria, emilia]) {
      await until(`${person.name} sees both others`, FRAMES_MAX_MS, async () => {
        const { participants } = (await snapshot(person)) ?? { participants: [] };
        const frames = participants.filter(({ me }) => !me).map(({ framesDecoded }) => framesDecoded);
        return frames.length === 2 && frames.every((decoded) => decoded >= FRAMES_MIN);
      });
    }
    await until(`${noah.name} sees both others`, FRAMES_MAX_MS, () => {
      if (noah.now?.closed) throw new Error(`the node closed aiortc's connection: ${noah.now.closed}`);
      return [maria, emilia].every(({ name }) => noah.now?.decoded[name] >= FRAMES_MIN);
    });
    assert.deepEqual(noah.now?.people, names);
    for (const person of [maria, emilia]) {
      const { participants } = await snapshot(person);
      const seen = participants.map(({ name, framesDecoded }) => `${name} ${framesDecoded}`);
      console.log(`pictures: ${person.name}: ${seen.join(', ')}`);
      assert.deepEqual(participants.map(({ name }) => name).sort(), names);
    }
    console.log(`pictures: ${noah.name}: ${JSON.stringify(noah.now?.decoded)}`);
  }

  async function eachHearsEach() {
    const pitches = LOOKS.map(({ pitchHz }) => pitchHz);
    const heardBy = async (person, look) =>
      assert.deepEqual(await pitchesHeard(person, othersOf(pitches, look.pitchHz), LISTEN_MS), othersOf(pitches, look.pitchHz), `${person.name} hears`);
    await heardBy(maria, chromiumLook);
    // Without a device for sound Firefox's AudioContext stands still; what it decodes it counts all the same.
    const before = await energies(emilia);
    await until(`${emilia.name} hears both others`, LISTEN_MS, async () => {
      const louder = Object.entries(await energies(emilia)).filter(([stream, energy]) => energy > (before[stream] ?? 0));
      return louder.length === 2;
    });
    const expected = othersOf(pitches, aiortcLook.pitchHz);
    await until(`${noah.name} hears both others`, LISTEN_MS, () => noah.now?.heard.length === expected.length);
  }

  const othersOf = (pitches, own) => pitches.filter((pitch) => pitch !== own);
});
