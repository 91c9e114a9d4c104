/** How loud a microphone is, and a tone for trying the loudspeaker. Nothing is recorded or sent. */
import { Cell, type Readable } from './cell';

/** Eyes need no more. */
const LOOK_EVERY_MS = 80;
/** Quieter than this is silence (dBFS), louder than that is full. */
const FLOOR_DB = -56;
const FULL_DB = -12;

export class Meter {
  private readonly cell = new Cell(0);
  private readonly context = new AudioContext();
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(track: MediaStreamTrack) {
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 1024;
    this.context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.timer = setInterval(() => {
      // Browsers hold sound back until the person has touched the page.
      if (this.context.state === 'suspended') void this.context.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      this.cell.set(track.enabled ? loudness(samples) : 0);
    }, LOOK_EVERY_MS);
  }

  /** 0 silent .. 1 full, in steps of a fiftieth. */
  get level(): Readable<number> {
    return this.cell;
  }

  close(): void {
    clearInterval(this.timer);
    void this.context.close().catch(() => {});
  }
}

export function loudness(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  const share = (db - FLOOR_DB) / (FULL_DB - FLOOR_DB);
  return Math.round(Math.min(1, Math.max(0, share)) * 50) / 50;
}

/** Two friendly notes on the chosen loudspeaker; resolves when they are over. */
export async function playTone(speaker: string | null): Promise<void> {
  const context = new AudioContext() as AudioContext & { setSinkId?: (id: string) => Promise<void> };
  try {
    if (speaker) await context.setSinkId?.(speaker).catch(() => {});
    await context.resume();
    const note = (hertz: number, from: number) => {
      const tone = context.createOscillator();
      const volume = context.createGain();
      tone.frequency.value = hertz;
      volume.gain.setValueAtTime(0, context.currentTime + from);
      volume.gain.linearRampToValueAtTime(0.22, context.currentTime + from + 0.03);
      volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + from + 0.55);
      tone.connect(volume).connect(context.destination);
      tone.start(context.currentTime + from);
      tone.stop(context.currentTime + from + 0.6);
    };
    note(523.25, 0);
    note(783.99, 0.28);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  } finally {
    await context.close().catch(() => {});
  }
}
