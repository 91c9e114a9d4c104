/**
 * Reads `getStats()` reports: is anything still coming, how well, and how many pictures per second of whom. Pure: it is
 * given reports and the time.
 */
import type { Quality } from './types';

/** Between two looks. */
export const LOOK_EVERY_MS = 200;
/** Nothing received for this long while somebody should be heard or seen: the way is dead. */
export const SILENCE_MAX_MS = 2_000;
/** The same if only one other is there, who may have fallen silent alone while the node still answers. */
export const LONE_SILENCE_MAX_MS = 6_000;
/** The control channel is pinged each second; past this the node hangs or is gone. */
const NODE_SILENCE_MAX_MS = 1_600;
/** A page that was frozen or throttled did not look; it must not take its own sleep for silence. */
const NAP_MS = 1_500;
/** The same where a moment counts: looks that came late say nothing about the node. */
const DOZE_MS = 2.5 * LOOK_EVERY_MS;
/** Voices that pause are sent every 400 ms, and the node's own reports each second. */
const LULL_MS = 1_200;
const LOSS_GOOD = 0.02;
const LOSS_POOR = 0.08;
const ROUND_TRIP_GOOD_MS = 150;
const ROUND_TRIP_POOR_MS = 400;

export interface MediaStat {
  mid: string;
  framesDecoded: number;
  packetsReceived: number;
  packetsLost: number;
  audioEnergy: number;
}

export interface Reading {
  bytesReceived: number;
  roundTripMs: number | null;
  media: MediaStat[];
}

type Stat = Record<string, unknown> & { type: string };

export function read(report: Iterable<[string, unknown]>): Reading {
  const reading: Reading = { bytesReceived: 0, roundTripMs: null, media: [] };
  const number = (value: unknown) => (typeof value === 'number' ? value : 0);
  for (const [, entry] of report) {
    const stat = entry as Stat;
    if (stat.type === 'inbound-rtp') {
      reading.media.push({
        mid: String(stat['mid'] ?? ''),
        framesDecoded: number(stat['framesDecoded']),
        packetsReceived: number(stat['packetsReceived']),
        packetsLost: number(stat['packetsLost']),
        audioEnergy: number(stat['totalAudioEnergy']),
      });
    } else if (stat.type === 'candidate-pair' && (stat['nominated'] === true || stat['selected'] === true)) {
      // Counts what came for media and its feedback (RTCP), not the checks of connectivity.
      reading.bytesReceived += number(stat['bytesReceived']);
      const roundTrip = stat['currentRoundTripTime'];
      if (typeof roundTrip === 'number') reading.roundTripMs = roundTrip * 1_000;
    }
  }
  return reading;
}

export interface Expectation {
  /** How many others say that they send something which a slot here carries. */
  sources: number;
  /** Milliseconds since the node was last heard on the control channel. */
  nodeSilentMs: number;
}

export class Watch {
  private last: Reading | null = null;
  private lastAt = 0;
  private heardAt = 0;
  /** Anything at all, whoever should be heard. */
  private cameAt = 0;
  private calm = true;
  private rates = new Map<string, number>();
  private loss = 0;

  /** @returns whether the connection must be given up */
  take(now: number, reading: Reading, expected: Expectation): boolean {
    const before = this.last;
    const elapsed = now - this.lastAt;
    this.last = reading;
    this.lastAt = now;
    if (!before || elapsed > NAP_MS || reading.bytesReceived !== before.bytesReceived || expected.sources === 0) {
      this.heardAt = now;
    }
    if (!before || elapsed > DOZE_MS || reading.bytesReceived !== before.bytesReceived) this.cameAt = now;
    this.calm = expected.sources === 0;
    if (before && elapsed > 0) this.measure(before, reading, elapsed);
    const silent = now - this.heardAt;
    if (silent < SILENCE_MAX_MS) return false;
    return expected.nodeSilentMs > NODE_SILENCE_MAX_MS || expected.sources > 1 || silent >= LONE_SILENCE_MAX_MS;
  }

  /** As of the last look: since then nothing has come, for long enough to ask whether the node is there. */
  get silentSince(): number | null {
    return this.lastAt - this.cameAt >= (this.calm ? LULL_MS : LOOK_EVERY_MS) ? this.cameAt : null;
  }

  private measure(before: Reading, now: Reading, elapsed: number): void {
    const earlier = new Map(before.media.map((stat) => [stat.mid, stat]));
    let received = 0;
    let lost = 0;
    for (const stat of now.media) {
      const old = earlier.get(stat.mid);
      if (!old) continue;
      this.rates.set(stat.mid, Math.max(0, ((stat.framesDecoded - old.framesDecoded) * 1_000) / elapsed));
      received += Math.max(0, stat.packetsReceived - old.packetsReceived);
      lost += Math.max(0, stat.packetsLost - old.packetsLost);
    }
    const share = received + lost === 0 ? 0 : lost / (received + lost);
    // The same weight in a second, however often it is looked.
    const keep = 0.5 ** (elapsed / 1_000);
    this.loss = keep * this.loss + (1 - keep) * share;
  }

  get reading(): Reading | null {
    return this.last;
  }

  framesPerSecond(mid: string): number {
    return this.rates.get(mid) ?? 0;
  }

  get quality(): Quality {
    const roundTrip = this.last?.roundTripMs ?? 0;
    if (this.loss > LOSS_POOR || roundTrip > ROUND_TRIP_POOR_MS) return 'poor';
    return this.loss > LOSS_GOOD || roundTrip > ROUND_TRIP_GOOD_MS ? 'good' : 'excellent';
  }
}

const FROM_BEST: readonly Quality[] = ['excellent', 'good', 'poor', 'lost'];

/** The page sees what it receives, the node both directions: who sees trouble is right. */
export function worse(page: Quality, node: Quality | undefined): Quality {
  return node !== undefined && FROM_BEST.indexOf(node) > FROM_BEST.indexOf(page) ? node : page;
}
