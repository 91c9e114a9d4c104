/** A conference as a person goes through it, and what the page's read-only snapshot says about it. */
import { until } from './until.mjs';

/** Ticket, ICE and DTLS of several browsers at once on a small machine. */
const CONNECT_MAX_MS = 30_000;

/** @typedef {import('./people.mjs').Person} Person */
/** @typedef {import('../../../edge/web/src/session/conference/types').Snapshot} Snapshot */

/** @param {Person} person @returns {Promise<Snapshot | null>} */
export const snapshot = (person) => person.page.evaluate(() => window.__schulhof?.conference() ?? null);

/**
 * Opens a conference in the room and goes in, past the device check.
 * @param {Person} teacher
 * @param {string} room
 * @param {() => Promise<void>} [atCheck]
 */
export async function open(teacher, room, atCheck) {
  const { page, words } = teacher;
  await teacher.openRoom(room);
  await page.getByRole('button', { name: words.start.open }).click();
  await page.getByRole('dialog').getByRole('button', { name: words.start.submit }).click();
  await throughCheck(teacher, atCheck);
}

/** Goes into the conference that the home page shows. @param {Person} person */
export async function join(person) {
  const { page, words } = person;
  await person.goHome();
  await page.getByRole('main').getByRole('link', { name: words.check.join }).first().click();
  await throughCheck(person);
}

/** @param {Person} person @param {() => Promise<void>} [atCheck] */
async function throughCheck({ page, words }, atCheck) {
  await page.getByLabel(words.check.preview).waitFor();
  await atCheck?.();
  await page.getByRole('button', { name: words.check.join, exact: true }).click();
}

/** Everybody is connected and knows of everybody. @param {Person[]} people */
export async function assembled(people) {
  for (const person of people) {
    await until(`${person.name} sees ${people.length} people`, CONNECT_MAX_MS, async () => {
      const now = await snapshot(person);
      return now?.phase === 'connected' && now.participants.length === people.length;
    });
  }
}

/** Whether the page says that media goes over the box or over the relay. @param {Person} person @param {'box' | 'relay'} kind */
export const badge = ({ page, words }, kind) => page.getByText(words.conference[kind]);

/**
 * Decoded frames per second of each other person's pictures, in steps, measured by the page's own clock.
 * @param {Person} person
 * @param {{ steps: number, stepMs: number }} plan
 * @returns {Promise<Record<string, number[]>>} by name
 */
export function frameRates(person, plan) {
  return person.page.evaluate(async ({ steps, stepMs }) => {
    const look = () => {
      const others = window.__schulhof.conference().participants.filter(({ me }) => !me);
      return { at: performance.now(), decoded: new Map(others.map((other) => [other.name, other.framesDecoded])) };
    };
    const rates = {};
    let before = look();
    for (let step = 0; step < steps; step += 1) {
      await new Promise((resolve) => setTimeout(resolve, stepMs));
      const now = look();
      for (const [name, decoded] of now.decoded) {
        const rate = ((decoded - (before.decoded.get(name) ?? 0)) * 1_000) / (now.at - before.at);
        (rates[name] ??= []).push(rate);
      }
      before = now;
    }
    return rates;
  }, plan);
}

/**
 * Which of the pitches are heard in the page within the time: from all its playing sound elements.
 * @param {Person} person
 * @param {number[]} pitchesHz
 * @param {number} ms
 * @returns {Promise<number[]>}
 */
export function pitchesHeard(person, pitchesHz, ms) {
  return person.page.evaluate(
    async ({ pitchesHz, ms }) => {
      /** A beep stands at -20 dB or so, other sounds and leakage far below. */
      const LOUD_DB = -50;
      const context = new AudioContext();
      const elements = [...document.querySelectorAll('audio, video')].filter(
        ({ srcObject, muted, paused }) => srcObject?.getAudioTracks().length > 0 && !muted && !paused,
      );
      const analysers = elements.map(({ srcObject }) => {
        const analyser = context.createAnalyser();
        analyser.fftSize = 4_096;
        analyser.smoothingTimeConstant = 0;
        context.createMediaStreamSource(srcObject).connect(analyser);
        return analyser;
      });
      const heard = new Set();
      const end = performance.now() + ms;
      while (performance.now() < end && heard.size < pitchesHz.length) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        for (const analyser of analysers) {
          const bins = new Float32Array(analyser.frequencyBinCount);
          analyser.getFloatFrequencyData(bins);
          const loudest = bins.indexOf(Math.max(...bins));
          const hz = (loudest * context.sampleRate) / analyser.fftSize;
          for (const pitch of pitchesHz) {
            if (bins[loudest] > LOUD_DB && Math.abs(hz - pitch) < pitch * 0.06) heard.add(pitch);
          }
        }
      }
      await context.close();
      return [...heard].sort((a, b) => a - b);
    },
    { pitchesHz, ms },
  );
}

/**
 * The colour of somebody's picture: of the pixels in its middle that are not the white bar.
 * @param {Person} person
 * @param {string} name whose picture
 * @returns {Promise<'red' | 'green' | 'blue' | null>}
 */
export function colourOf(person, name) {
  return person.page.getByLabel(person.words.conference.picture(name)).evaluate((video) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 16;
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 16, 16);
    const { data } = context.getImageData(0, 0, 16, 16);
    const sums = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sums[c] += data[i + c];
    const [most, second] = [...sums].sort((a, b) => b - a);
    return most > 2 * second ? ['red', 'green', 'blue'][sums.indexOf(most)] : null;
  });
}

/** Keeps the page's connections for `getStats`; to be called before it makes one. @param {{ page: { evaluate: Function } }} person */
export const keepPeers = (person) =>
  person.page.evaluate(() => {
    window.peers = [];
    const Peer = RTCPeerConnection;
    window.RTCPeerConnection = class extends Peer {
      constructor(...options) {
        super(...options);
        window.peers.push(this);
      }
    };
  });

/** Of the sound that each receiving stream has decoded, by stream. @returns {Promise<Record<string, number>>} */
export const energies = (person) =>
  person.page.evaluate(async () => {
    // The one that stands by sends nothing.
    const peer = window.peers.findLast((peer) => peer.getSenders().some(({ track }) => track));
    const report = [...(await peer.getStats()).values()];
    const streams = report.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    return Object.fromEntries(streams.map(({ ssrc, totalAudioEnergy }) => [ssrc, totalAudioEnergy ?? 0]));
  });
