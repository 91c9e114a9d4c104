/**
 * What Chromium's fake camera and microphone give: a moving picture in a colour of one's own, and a beep at a pitch of
 * one's own. So a test can tell whose picture is on a tile and whose voice is heard.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FPS = 20;
/** One turn of the moving bar. */
export const FRAMES = 40;
export const TURN_MS = (1_000 * FRAMES) / FPS;
const RATE_HZ = 48_000;

/** Colours far from each other (BT.601 studio range), and pitches that fall into different bins of any analyser. */
export const LOOKS = [
  { colour: 'red', y: 81, u: 90, v: 240, pitchHz: 440 },
  { colour: 'green', y: 145, u: 54, v: 34, pitchHz: 880 },
  { colour: 'blue', y: 41, u: 240, v: 110, pitchHz: 1_760 },
];

/**
 * YUV4MPEG2, 4:2:0: the colour with a white bar that wanders, so that no two frames are alike.
 * @param {{ y: number, u: number, v: number }} look
 * @param {number} width
 * @param {number} height
 * @param {boolean} noisy as from a camera in the dark: an encoder takes all the rate that it may
 */
function picture(look, width, height, noisy) {
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${FPS}:1 Ip A1:1 C420jpeg\n`)];
  const chroma = (width / 2) * (height / 2);
  const bar = Math.floor(width / 10);
  for (let n = 0; n < FRAMES; n += 1) {
    const left = Math.floor(((width - bar) * n) / FRAMES);
    const luma = Buffer.alloc(width * height, look.y);
    if (noisy) for (const [at, grain] of randomBytes(luma.length).entries()) luma[at] += (grain & 31) - 16;
    for (let row = 0; row < height; row += 1) luma.fill(235, row * width + left, row * width + left + bar);
    parts.push(Buffer.from('FRAME\n'), luma, Buffer.alloc(chroma, look.u), Buffer.alloc(chroma, look.v));
  }
  return Buffer.concat(parts);
}

/**
 * WAV, mono, 16 bit: beeps of a quarter second with pauses, since noise suppression takes a steady tone away.
 * @param {number} pitchHz @param {boolean} steady for a page without noise suppression
 */
function beep(pitchHz, steady) {
  const samples = RATE_HZ;
  const data = Buffer.alloc(samples * 2);
  for (let n = 0; n < samples; n += 1) {
    const inBeep = n % (RATE_HZ / 2);
    if (!steady && inBeep >= RATE_HZ / 4) continue;
    const fade = steady ? 1 : Math.min(1, inBeep / 480, (RATE_HZ / 4 - inBeep) / 480);
    data.writeInt16LE(Math.round(12_000 * fade * Math.sin((2 * Math.PI * pitchHz * n) / RATE_HZ)), n * 2);
  }
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(RATE_HZ, 24);
  head.writeUInt32LE(RATE_HZ * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(data.length, 40);
  return Buffer.concat([head, data]);
}

/**
 * Files for one look, and the flags that make Chromium use them. `close` removes them.
 * @param {typeof LOOKS[number]} look
 * @param {{ width: number, height: number, noisy?: boolean }} size
 * @param {{ steady?: boolean }} [sound]
 */
export function sources(look, { width, height, noisy = false }, { steady = false } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'schulhof-sources-'));
  const video = join(dir, `${look.colour}.y4m`);
  const audio = join(dir, `${look.colour}.wav`);
  writeFileSync(video, picture(look, width, height, noisy));
  writeFileSync(audio, beep(look.pitchHz, steady));
  return {
    args: [`--use-file-for-fake-video-capture=${video}`, `--use-file-for-fake-audio-capture=${audio}`],
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}
