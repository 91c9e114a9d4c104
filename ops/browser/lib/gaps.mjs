/**
 * How long pictures stand still and voices are silent at a page while something happens to it: of each other person, by what
 * is shown and played, not by what arrives. Voices are told apart by their pitch, which must be steady (`sources(..., { steady: true })`).
 */

import { FRAMES, TURN_MS } from './sources.mjs';

/** @typedef {import('./people.mjs').Person} Person */

/** Connections at the same time: the one in use, the one before, the next one, the one that stands by, and one that is just given up. */
const CONNECTIONS = 5;
/** How often new elements of a tile are looked for: it may be shown anew. */
const ATTEND_EVERY_MS = 50;

/**
 * Runs in the sound thread: how loud each pitch is in windows of 10 ms, and the longest time without it. Each connection is
 * an input of its own: the same tone over two of them, added up, could cancel itself out.
 */
const WORKLET = `
  class Pitches extends AudioWorkletProcessor {
    constructor({ numberOfInputs, processorOptions: { pitches } }) {
      super();
      const tone = () => ({ a: 0, b: 0 });
      this.pitches = pitches.map((hz) => ({ factor: 2 * Math.cos((2 * Math.PI * hz) / sampleRate), tones: Array.from({ length: numberOfInputs }, tone), recent: [], usual: 0, heard: 0, gap: 0 }));
      this.left = this.window = Math.round(sampleRate / 100);
      this.port.onmessage = ({ data }) => {
        if (data === 'begin') {
          for (const pitch of this.pitches) {
            pitch.usual = [...pitch.recent].sort((x, y) => x - y)[pitch.recent.length >> 1] ?? 0;
            pitch.heard = currentTime;
            pitch.gap = 0;
          }
        }
        const gaps = this.pitches.map(({ gap, heard }) => Math.max(gap, currentTime - heard) * 1000);
        const silent = this.pitches.map(({ heard }) => (currentTime - heard) * 1000);
        this.port.postMessage({ gaps, silent, usual: this.pitches.map(({ usual }) => usual) });
      };
    }
    process(inputs) {
      for (let n = 0; n < 128; n += 1) {
        for (const { factor, tones } of this.pitches) {
          for (let i = 0; i < tones.length; i += 1) {
            const tone = tones[i];
            const next = (inputs[i][0]?.[n] ?? 0) + factor * tone.a - tone.b;
            tone.b = tone.a;
            tone.a = next;
          }
        }
        if ((this.left -= 1) === 0) this.close();
      }
      return true;
    }
    close() {
      this.left = this.window;
      for (const pitch of this.pitches) {
        const levels = pitch.tones.map(({ a, b }) => Math.sqrt(Math.max(0, a * a + b * b - pitch.factor * a * b)) / this.window);
        const level = Math.max(...levels);
        for (const tone of pitch.tones) tone.a = tone.b = 0;
        pitch.recent.push(level);
        if (pitch.recent.length > 50) pitch.recent.shift();
        // A voice that is being faded out for want of packets is not heard.
        if (level >= 0.4 * pitch.usual) {
          pitch.gap = Math.max(pitch.gap, currentTime - pitch.heard);
          pitch.heard = currentTime;
        }
      }
    }
  }
  registerProcessor('pitches', Pitches);
`;

/**
 * To be called before the page's first call: its microphone is taken as it is (a steady tone would be filtered away as
 * noise), and all voices that it receives are listened to.
 * @param {Person} person @param {number[]} pitchesHz
 */
export function listen(person, pitchesHz) {
  return person.page.evaluate(
    async ({ worklet, pitches, connections }) => {
      const devices = navigator.mediaDevices;
      const ask = devices.getUserMedia.bind(devices);
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      devices.getUserMedia = ({ audio, ...rest }) => ask({ ...rest, audio: audio ? { ...(audio === true ? {} : audio), ...plain } : false });

      const context = new AudioContext({ sampleRate: 48_000 });
      await context.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: 'text/javascript' })));
      const node = new AudioWorkletNode(context, 'pitches', { numberOfInputs: connections, numberOfOutputs: 1, channelCount: 1, channelCountMode: 'explicit', processorOptions: { pitches } });
      node.connect(context.destination);
      await context.resume();
      const Peer = RTCPeerConnection;
      const free = Array.from({ length: connections }, (_, input) => input);
      window.RTCPeerConnection = class extends Peer {
        constructor(...options) {
          super(...options);
          const heard = [];
          let input = free.shift();
          if (input === undefined) console.error(`more than ${connections} connections at the same time`);
          this.addEventListener('track', ({ track }) => {
            if (track.kind !== 'audio' || input === undefined) return;
            const source = context.createMediaStreamSource(new MediaStream([track]));
            source.connect(node, 0, input);
            heard.push(source);
          });
          this.close = () => {
            for (const source of heard) source.disconnect();
            if (input !== undefined) free.push(input);
            input = undefined;
            super.close();
          };
        }
      };
      const say = (word) =>
        new Promise((resolve) => {
          node.port.onmessage = ({ data }) => resolve(data);
          node.port.postMessage(word);
        });
      window.gaps = { say, pictures: [] };
    },
    { worklet: WORKLET, pitches: pitchesHz, connections: CONNECTIONS },
  );
}

/** From now on. @param {Person} person @param {string[]} others whose pictures are looked at */
export function begin(person, others) {
  return person.page.evaluate(
    async ({ labels, frames, turnMs, attendEveryMs }) => {
      const { gaps } = window;
      gaps.round?.end();
      const round = { over: false };
      gaps.round = round;
      const canvas = document.createElement('canvas');
      canvas.width = 320;
      canvas.height = 1;
      const context = canvas.getContext('2d', { willReadFrequently: true });
      /** Which one of the fake camera's pictures: by where its white bar stands. */
      const numberOf = (video) => {
        context.drawImage(video, 0, video.videoHeight / 2, video.videoWidth, 2, 0, 0, 320, 1);
        const { data } = context.getImageData(0, 0, 320, 1);
        let left = 0;
        while (left < 320 && Math.min(data[4 * left], data[4 * left + 1], data[4 * left + 2]) < 60) left += 1;
        return left === 320 ? null : Math.round((left / (320 * 0.9)) * frames) % frames;
      };
      const attending = [];
      round.end = () => {
        round.over = true;
        attending.forEach(clearInterval);
      };
      gaps.pictures = labels.map((label) => {
        const picture = { at: performance.now(), gap: 0, number: null, older: 0 };
        const watch = (video) => {
          const drawn = () => {
            if (round.over) return;
            const now = performance.now();
            const number = numberOf(video);
            video.requestVideoFrameCallback(drawn);
            setTimeout(() => {
              if (!video.ariaLabel) return;
              const since = now - picture.at;
              picture.gap = Math.max(picture.gap, since);
              picture.at = now;
              if (number === null) return;
              // After half a turn of the bar nobody can tell forwards from backwards.
              const told = picture.number !== null && since < turnMs / 2;
              const back = told ? (picture.number - number + frames) % frames : 0;
              if (back > 0 && back < frames / 2) picture.older = Math.max(picture.older, back);
              picture.number = number;
            });
          };
          video.requestVideoFrameCallback(drawn);
        };
        const watched = new WeakSet();
        // Which of the tile's elements is shown changes with the stream.
        const attend = () => {
          const tile = document.querySelector(`video[aria-label="${label}"]`)?.closest('[data-tile]');
          for (const video of tile?.querySelectorAll('video') ?? []) {
            if (watched.has(video)) continue;
            watched.add(video);
            watch(video);
          }
        };
        attend();
        attending.push(setInterval(attend, attendEveryMs));
        return picture;
      });
      await gaps.say('begin');
    },
    { labels: others.map((name) => person.words.conference.picture(name)), frames: FRAMES, turnMs: TURN_MS, attendEveryMs: ATTEND_EVERY_MS },
  );
}

/**
 * The longest standstill of each picture and silence of each pitch since `begin`, and how long it lasts already; and by how
 * many pictures one was older than the one shown before it.
 * @param {Person} person
 * @returns {Promise<{ pictures: number[], still: number[], voices: number[], silent: number[], older: number[] }>} milliseconds
 */
export function measured(person) {
  return person.page.evaluate(async () => {
    const { gaps, silent } = await window.gaps.say('report');
    const now = performance.now();
    const still = window.gaps.pictures.map(({ at }) => now - at);
    return { pictures: window.gaps.pictures.map(({ gap }, n) => Math.max(gap, still[n])), still, voices: gaps, silent, older: window.gaps.pictures.map(({ older }) => older) };
  });
}

/** @param {number[]} values @param {number} share of them that are not larger */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
