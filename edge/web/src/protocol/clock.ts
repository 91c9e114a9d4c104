/** The hybrid logical clock of operations (`wire::Hlc`). */
import type { Hlc } from './types';

/** `Hlc::COUNTER_BITS` */
const HLC_COUNTER = 2 ** 10;

/** Milliseconds since 1970 of a hybrid clock reading. */
export function hlcMs(at: Hlc): number {
  return Math.floor(at / HLC_COUNTER);
}

/** The next reading: at least `nowMs`, and later than `last`. */
export function hlcTick(last: Hlc, nowMs: number): Hlc {
  return Math.max(Math.floor(nowMs) * HLC_COUNTER, last + 1);
}
