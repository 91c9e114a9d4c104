import { describe, expect, it } from 'vitest';
import { LONE_SILENCE_MAX_MS, read, SILENCE_MAX_MS, Watch, type Reading, worse } from '../src/session/conference/watch';

const reading = (bytesReceived: number, more: Partial<Reading> = {}): Reading => ({ bytesReceived, roundTripMs: 10, media: [], ...more });
const alive = { sources: 2, nodeSilentMs: 100 };

/** Looks every half second; @returns when the connection was given up, or null */
function silentFrom(expected: { sources: number; nodeSilentMs: number }, forMs: number, stepMs = 500): number | null {
  const watch = new Watch();
  watch.take(0, reading(1), expected);
  for (let now = stepMs; now <= forMs; now += stepMs) {
    if (watch.take(now, reading(1), expected)) return now;
  }
  return null;
}

describe('watch', () => {
  it('gives a connection up after two silent seconds when several should be heard', () => {
    expect(silentFrom(alive, 10_000)).toBe(SILENCE_MAX_MS);
  });

  it('gives it up as early when the node does not answer either', () => {
    expect(silentFrom({ sources: 1, nodeSilentMs: 1_700 }, 10_000)).toBe(SILENCE_MAX_MS);
  });

  it('waits longer when only one other is there: that one may have gone', () => {
    expect(silentFrom({ sources: 1, nodeSilentMs: 100 }, 20_000)).toBe(LONE_SILENCE_MAX_MS);
  });

  it('never gives up for silence when nobody sends anything', () => {
    expect(silentFrom({ sources: 0, nodeSilentMs: 5_000 }, 60_000)).toBeNull();
  });

  it('does not take its own sleep for silence', () => {
    expect(silentFrom(alive, 60_000, 3_000)).toBeNull();
  });

  it('is content as long as anything comes', () => {
    const watch = new Watch();
    for (let i = 0; i < 100; i += 1) expect(watch.take(i * 500, reading(i), alive)).toBe(false);
  });

  it('counts pictures per second and judges the way by loss and delay', () => {
    const watch = new Watch();
    const at = (frames: number, received: number, lost: number) => reading(frames, {
      media: [{ mid: '6', framesDecoded: frames, packetsReceived: received, packetsLost: lost, audioEnergy: 0 }],
    });
    watch.take(0, at(0, 0, 0), alive);
    watch.take(500, at(12, 100, 0), alive);
    expect(watch.framesPerSecond('6')).toBe(24);
    expect(watch.quality).toBe('excellent');
    for (let i = 2; i < 10; i += 1) watch.take(i * 500, at(12 * i, 100 * i, 20 * i), alive);
    expect(watch.quality).toBe('poor');
  });

  it('believes whoever sees trouble, the page or the node', () => {
    expect(worse('excellent', undefined)).toBe('excellent');
    expect(worse('excellent', 'poor')).toBe('poor');
    expect(worse('poor', 'good')).toBe('poor');
  });

  it('reads what a browser reports', () => {
    const report = new Map<string, unknown>([
      ['a', { type: 'candidate-pair', nominated: false, bytesReceived: 999 }],
      ['b', { type: 'candidate-pair', nominated: true, bytesReceived: 70, currentRoundTripTime: 0.02 }],
      ['c', { type: 'inbound-rtp', mid: '6', framesDecoded: 5, packetsReceived: 9, packetsLost: 1, totalAudioEnergy: 0.5 }],
      ['d', { type: 'outbound-rtp', mid: '1', framesEncoded: 5 }],
    ]);
    expect(read(report)).toEqual({
      bytesReceived: 70,
      roundTripMs: 20,
      media: [{ mid: '6', framesDecoded: 5, packetsReceived: 9, packetsLost: 1, audioEnergy: 0.5 }],
    });
  });
});
