/**
 * How long pictures stand still and voices are silent at a page while something happens to it: of each other person, by what
 * is shown and played, not by what arrives. Voices are told apart by their pitch, which must be steady (`sources(..., { steady: true })`).
 */

/** @typedef {import('./people.mjs').Person} Person */

/** Runs in the sound thread: how loud each pitch is in windows of 10 ms, and the longest time without it. */
const WORKLET = `
  class Pitches extends AudioWorkletProcessor {
    constructor({ processorOptions: { pitches } }) {
      super();
      this.pitches = pitches.map((hz) => ({ factor: 2 * Math.cos((2 * Math.PI * hz) / sampleRate), a: 0, b: 0, recent: [], usual: 0, heard: 0, gap: 0 }));
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
    process([input]) {
      const samples = input[0];
      for (let n = 0; n < 128; n += 1) {
        const sample = samples ? samples[n] : 0;
        for (const pitch of this.pitches) {
          const next = sample + pitch.factor * pitch.a - pitch.b;
          pitch.b = pitch.a;
          pitch.a = next;
        }
        if ((this.left -= 1) === 0) this.close();
      }
      return true;
    }
    close() {
      this.left = this.window;
      for (const pitch of this.pitches) {
        const level = Math.sqrt(Math.max(0, pitch.a * pitch.a + pitch.b * pitch.b - pitch.factor * pitch.a * pitch.b)) / this.window;
        pitch.a = pitch.b = 0;
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
    async ({ worklet, pitches }) => {
      const devices = navigator.mediaDevices;
      const ask = devices.getUserMedia.bind(devices);
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      devices.getUserMedia = ({ audio, ...rest }) => ask({ ...rest, audio: audio ? { ...(audio === true ? {} : audio), ...plain } : false });

      const context = new AudioContext({ sampleRate: 48_000 });
      await context.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: 'text/javascript' })));
      const node = new AudioWorkletNode(context, 'pitches', { numberOfOutputs: 1, channelCount: 1, channelCountMode: 'explicit', processorOptions: { pitches } });
      node.connect(context.destination);
      await context.resume();
      const Peer = RTCPeerConnection;
      window.RTCPeerConnection = class extends Peer {
        constructor(...options) {
          super(...options);
          const heard = [];
          this.addEventListener('track', ({ track }) => {
            if (track.kind !== 'audio') return;
            const source = context.createMediaStreamSource(new MediaStream([track]));
            source.connect(node);
            heard.push(source);
          });
          this.close = () => {
            for (const source of heard) source.disconnect();
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
    { worklet: WORKLET, pitches: pitchesHz },
  );
}

/** From now on. @param {Person} person @param {string[]} others whose pictures are looked at */
export function begin(person, others) {
  return person.page.evaluate(
    async (labels) => {
      const { gaps } = window;
      const round = { over: false };
      if (gaps.round) gaps.round.over = true;
      gaps.round = round;
      gaps.pictures = labels.map((label) => {
        const video = document.querySelector(`video[aria-label="${label}"]`);
        const picture = { at: performance.now(), gap: 0 };
        const shown = () => {
          if (round.over) return;
          const now = performance.now();
          picture.gap = Math.max(picture.gap, now - picture.at);
          picture.at = now;
          video.requestVideoFrameCallback(shown);
        };
        video.requestVideoFrameCallback(shown);
        return picture;
      });
      await gaps.say('begin');
    },
    others.map((name) => person.words.conference.picture(name)),
  );
}

/**
 * The longest standstill of each picture and silence of each pitch since `begin`, and how long it lasts already.
 * @param {Person} person
 * @returns {Promise<{ pictures: number[], still: number[], voices: number[], silent: number[] }>} milliseconds
 */
export function measured(person) {
  return person.page.evaluate(async () => {
    const { gaps, silent } = await window.gaps.say('report');
    const now = performance.now();
    const still = window.gaps.pictures.map(({ at }) => now - at);
    return { pictures: window.gaps.pictures.map(({ gap }, n) => Math.max(gap, still[n])), still, voices: gaps, silent };
  });
}

/** @param {number[]} values @param {number} share of them that are not larger */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
