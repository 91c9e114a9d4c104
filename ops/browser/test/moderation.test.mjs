/** A lesson that is led: teacher and two pupils, each with a browser, a colour and a voice of their own. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { settled, violations } from '../lib/audit.mjs';
import { assembled, colourOf, join, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { act, cheat, closePanel, inRoomDialog, panel, prepareToCheat, setSwitch, tool } from '../lib/leading.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

/** One beep and one pause of the fake microphones are half a second; noise suppression and jitter buffers need a while. */
const LISTEN_MS = 8_000;
/** Eight beeps long. */
const QUIET_MS = 4_000;
const SEE_MAX_MS = 20_000;

const ROUNDS = /** @type {const} */ ([
  { language: 'de', viewport: { width: 1280, height: 800 } },
  { language: 'en', viewport: { width: 390, height: 844 } },
]);

for (const { language, viewport } of ROUNDS) {
  suite(`moderation, ${language}, ${viewport.width} px`, (suite) => {
    /** @type {Person} */ let maria;
    /** @type {Person} */ let emilia;
    /** @type {Person} */ let noah;
    const pitch = (n) => LOOKS[n].pitchHz;
    let looks = 0;
    let broken = false;

    /** One claim after the other about one lesson: after a failure the rest would only wait in vain. */
    const step = (name, body) =>
      suite.claim(name, async () => {
        assert.ok(!broken, 'an earlier claim failed');
        broken = true;
        await body();
        broken = false;
      });

    const enter = async (look, who) => {
      const own = sources(look, { width: 320, height: 180 });
      suite.cleanup(own.close);
      return Person.signedIn(await suite.browser(own.args), suite.stack.url('nord'), who, { language, viewport });
    };

    /** Nothing for axe to find, and a picture for whoever wants to look (SHOTS_DIR). */
    const look = async (person, name) => {
      await settled(person.page);
      if (process.env.SHOTS_DIR) {
        mkdirSync(process.env.SHOTS_DIR, { recursive: true });
        looks += 1;
        const file = `${viewport.width}-${language}-${String(looks).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png`;
        await person.page.screenshot({ path: joinPath(process.env.SHOTS_DIR, file) });
      }
      assert.deepEqual(await violations(person.page), [], name);
    };
    const seenBy = async (person, other) => (await snapshot(person))?.participants.find(({ name }) => name === other.name);
    const says = (person, text) => person.page.getByText(text).first().waitFor();

    step('pupils wait before the door, are told nothing of the room, and come in when the teacher lets everybody in', async () => {
      const { room, teacher, pupils } = CLASSES.nord;
      [maria, emilia, noah] = await Promise.all([teacher, pupils[0], pupils[1]].map((who, n) => enter(LOOKS[n], who)));
      await prepareToCheat(emilia);
      await open(maria, room);
      await assembled([maria]);
      await setSwitch(maria, maria.words.leading.lobby, true);
      await closePanel(maria);
      await Promise.all([emilia, noah].map(join));
      for (const pupil of [emilia, noah]) {
        await pupil.page.getByRole('heading', { name: pupil.words.led.waiting }).waitFor();
        const { phase, participants } = await snapshot(pupil);
        assert.deepEqual({ phase, participants }, { phase: 'waiting', participants: [] });
      }
      await says(maria, maria.words.leading.waiting(2));
      await look(emilia, 'in the waiting room');
      await look(maria, 'two wait');
      await panel(maria);
      await look(maria, 'two wait in the list');
      await closePanel(maria);
      await maria.page.getByRole('button', { name: maria.words.leading.admitAll }).click();
      await assembled([maria, emilia, noah]);
      await until('the teacher sees both', SEE_MAX_MS, async () => {
        const colours = await Promise.all([emilia, noah].map(({ name }) => colourOf(maria, name)));
        return colours[0] === LOOKS[1].colour && colours[1] === LOOKS[2].colour;
      });
    });

    step('muted and locked, nobody hears a pupil, not even one whose browser sends all the same', async () => {
      assert.deepEqual(await pitchesHeard(maria, [pitch(1), pitch(2)], LISTEN_MS), [pitch(1), pitch(2)], 'both are heard at first');
      const list = await panel(maria);
      await list.getByRole('button', { name: maria.words.leading.muteAll }).click();
      await setSwitch(maria, maria.words.leading.lockMicrophones, true);
      for (const pupil of [emilia, noah]) {
        await says(pupil, pupil.words.led.microphones);
        await until(`${pupil.name} is off`, 5_000, async () => (await seenBy(maria, pupil))?.microphone === false);
        assert.equal(await tool(pupil, 'microphone').getAttribute('aria-disabled'), 'true');
      }
      await look(maria, 'all muted');
      await look(emilia, 'microphone locked');
      await tool(noah, 'microphone').press('Enter');
      const sent = await cheat(emilia);
      assert.ok(sent.packets > 20 && sent.level > 0.000_1, `her browser sends her voice: ${JSON.stringify(sent)}`);
      assert.deepEqual(await pitchesHeard(maria, [pitch(1), pitch(2)], QUIET_MS), []);
      assert.deepEqual(await pitchesHeard(noah, [pitch(1)], QUIET_MS), []);
      assert.deepEqual(await pitchesHeard(noah, [pitch(0)], LISTEN_MS), [pitch(0)], 'the teacher is heard');
      await act(maria, emilia, maria.words.leading.allowSpeaking);
      await until('she may speak', 5_000, async () => (await tool(emilia, 'microphone').getAttribute('aria-disabled')) === null);
      await tool(emilia, 'microphone').click();
      assert.deepEqual(await pitchesHeard(maria, [pitch(1), pitch(2)], LISTEN_MS), [pitch(1)], 'and is heard, alone');
      await setSwitch(maria, maria.words.leading.lockMicrophones, false);
    });

    step('a locked camera goes off at the pupil, and cameras to the teacher only are seen by nobody else', async () => {
      await setSwitch(maria, maria.words.leading.lockCameras, true);
      for (const pupil of [emilia, noah]) {
        await says(pupil, pupil.words.led.cameras);
        await until(`${pupil.name} is not seen`, 5_000, async () => (await seenBy(maria, pupil))?.camera === false);
        assert.equal(await tool(pupil, 'camera').getAttribute('aria-disabled'), 'true');
      }
      await inRoomDialog(maria, () => look(maria, 'controls for all'));
      await look(emilia, 'camera locked');
      await setSwitch(maria, maria.words.leading.lockCameras, false);
      await setSwitch(maria, maria.words.leading.camerasToHost, true);
      await closePanel(maria);
      for (const pupil of [emilia, noah]) {
        await says(pupil, pupil.words.led.cameraPrivate);
        await tool(pupil, 'camera').click();
      }
      await until('the teacher sees both', SEE_MAX_MS, async () => (await colourOf(maria, emilia.name)) === LOOKS[1].colour && (await colourOf(maria, noah.name)) === LOOKS[2].colour);
      await until('they see the teacher', SEE_MAX_MS, async () => (await colourOf(noah, maria.name)) === LOOKS[0].colour);
      const { framesPerSecond } = await seenBy(noah, emilia);
      assert.equal(framesPerSecond, 0, 'nothing of Emilia comes to Noah');
      await setSwitch(maria, maria.words.leading.camerasToHost, false);
      await until('they see each other again', SEE_MAX_MS, async () => (await seenBy(noah, emilia))?.framesPerSecond > 0);
    });

    step('hands stand in the order of being raised, and the teacher lowers them', async () => {
      for (const pupil of [noah, emilia]) {
        await tool(pupil, 'raise').click();
        await until(`the teacher sees ${pupil.name}'s hand`, 5_000, async () => (await seenBy(maria, pupil))?.hand);
      }
      const list = await panel(maria);
      const hands = list.locator('ol').getByRole('listitem');
      const names = async () => (await hands.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
      await until('two hands', 5_000, async () => (await hands.count()) === 2);
      const [first, second] = await names();
      assert.ok(first.startsWith('1') && first.includes(noah.name) && second.startsWith('2') && second.includes(emilia.name), `${first} | ${second}`);
      await look(maria, 'two hands');
      await list.getByRole('button', { name: maria.words.leading.lowerHand(noah.name) }).click();
      await until('one hand', 5_000, async () => (await hands.count()) === 1);
      assert.match((await names())[0], new RegExp(`^1.*${emilia.name}`));
      await tool(noah, 'raise').waitFor();
      await tool(emilia, 'lower').click();
      await until('no hand', 5_000, async () => (await hands.count()) === 0);
    });

    step('who is in the spotlight is shown large to everybody', async () => {
      await act(maria, noah, maria.words.leading.spotlight);
      await closePanel(maria);
      for (const person of [maria, emilia]) {
        const tile = person.page.locator('.tile.main');
        await tile.getByText(person.words.leading.inSpotlight).waitFor();
        assert.match(await tile.innerText(), new RegExp(noah.name));
      }
      await look(emilia, 'spotlight');
    });

    step('with audio only, no picture is asked for, and all are back afterwards', async () => {
      const button = emilia.page.getByRole('button', { name: emilia.words.led.audioOnly });
      await button.click();
      await until('no pictures', 10_000, async () => {
        const { participants } = await snapshot(emilia);
        return participants.every(({ framesPerSecond }) => framesPerSecond === 0);
      });
      assert.deepEqual(await pitchesHeard(emilia, [pitch(0)], LISTEN_MS), [pitch(0)]);
      await look(emilia, 'audio only');
      await button.click();
      await until('pictures again', 10_000, async () => (await seenBy(emilia, maria))?.framesPerSecond > 0);
    });

    step('the actions for one person are reached by keys, and the focus comes back to where it was', async () => {
      const list = await panel(maria);
      const name = maria.words.leading.actions(emilia.name);
      await list.getByRole('button', { name }).press('Enter');
      const dialog = maria.page.getByRole('dialog', { name: emilia.name });
      await dialog.waitFor();
      await look(maria, 'actions for one');
      await maria.page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      assert.equal(await maria.page.evaluate(() => document.activeElement?.getAttribute('aria-label')), name);
    });

    step('the lead is handed over, used, and taken back', async () => {
      await act(maria, emilia, maria.words.leading.handOver);
      const list = await panel(maria);
      await list.getByRole('button', { name: maria.words.leading.takeBack }).waitFor();
      assert.equal(await list.getByRole('button', { name: maria.words.leading.muteAll }).count(), 0);
      await look(maria, 'lead handed over');
      await setSwitch(emilia, emilia.words.leading.lockCameras, true);
      await look(emilia, 'a pupil leads');
      await closePanel(emilia);
      await says(noah, noah.words.led.cameras);
      await list.getByRole('button', { name: maria.words.leading.takeBack }).click();
      await list.getByRole('button', { name: maria.words.leading.muteAll }).waitFor();
      await setSwitch(maria, maria.words.leading.lockCameras, false);
    });

    step('who loads the page anew finds hand, mute and place again', async () => {
      const places = async () => (await snapshot(maria)).participants.map(({ name }) => name);
      const before = await places();
      await tool(noah, 'raise').click();
      await until('the hand is seen', 5_000, async () => (await seenBy(maria, noah))?.hand);
      await noah.page.reload();
      await enterAgain();
      await assembled([maria, emilia, noah]);
      await tool(noah, 'lower').waitFor();
      await says(noah, noah.words.led.mutedBy);
      const { hand, microphone } = await seenBy(maria, noah);
      assert.deepEqual({ hand, microphone, places: await places() }, { hand: true, microphone: false, places: before });
    });

    /** Past the device check, from a page that asks for it. */
    const enterAgain = async () => {
      await noah.page.getByLabel(noah.words.check.preview).waitFor();
      await noah.page.getByRole('button', { name: noah.words.check.join, exact: true }).click();
    };

    step('who is removed stays out, also with another ticket, until the teacher lets him come back', async () => {
      await act(maria, noah, maria.words.leading.removeAsk, maria.words.leading.remove);
      await noah.page.getByRole('heading', { name: noah.words.led.removed }).or(noah.page.getByText(noah.words.led.removed)).first().waitFor();
      await look(noah, 'removed');
      await assembled([maria, emilia]);
      await look(maria, 'one is removed');
      const rejoin = async () => {
        await noah.page.getByRole('button', { name: noah.words.led.again }).click();
        await enterAgain();
      };
      await rejoin();
      await says(noah, noah.words.led.removed);
      assert.equal((await snapshot(maria)).participants.length, 2);
      const list = await panel(maria);
      await list.getByRole('button', { name: maria.words.leading.unblock(noah.name) }).click();
      await rejoin();
      // The waiting room is still on: he is let in like anybody else.
      await noah.page.getByRole('heading', { name: noah.words.led.waiting }).waitFor();
      await list.getByRole('button', { name: maria.words.leading.admitAll }).click();
      await assembled([maria, emilia, noah]);
    });

    step('the attendance list names who was there', async () => {
      await inRoomDialog(maria, async (dialog) => {
        const downloading = maria.page.waitForEvent('download');
        await dialog.getByRole('button', { name: maria.words.leading.attendance }).click();
        const download = await downloading;
        assert.match(download.suggestedFilename(), /\.csv$/);
        const text = await readFile(await download.path(), 'utf8');
        assert.ok(text.startsWith(`\uFEFF${maria.words.leading.columns}\r\n`), text);
        for (const { name } of [maria, emilia, noah]) assert.ok(text.includes(name), name);
      });
    });

    step('the end for all is the end for everybody', async () => {
      await maria.page.getByRole('toolbar').getByRole('button', { name: maria.words.conference.leave }).click();
      await maria.page.getByRole('dialog').getByRole('button', { name: maria.words.conference.leaveAll }).click();
      for (const person of [maria, emilia, noah]) {
        await says(person, person.words.led.ended);
        assert.equal(await snapshot(person), null);
      }
      await look(emilia, 'ended');
    });
  });
}
