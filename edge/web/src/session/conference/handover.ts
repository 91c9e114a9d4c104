/**
 * A planned change of the node, make before break: the next connection is in use beside the present one until it has
 * everything that is shown and heard; only then the page changes over, and the former one is closed a while later.
 */
import type { Link } from './link';

/** Between two looks at what the next connection has. */
const LOOK_EVERY_MS = 60;
/** A picture that has not come by then does not hold up the others. */
const COVER_MAX_MS = 4_000;
/**
 * The former connection goes on sending for so long: who is asked to move with one, and is slower, still sees one there.
 * Everything is encoded twice meanwhile.
 */
export const LINGER_MS = 1_000;

interface Time {
  now: () => number;
  wait: (ms: number) => Promise<void>;
}

/** @returns whether the next one can be shown; not if one of them is lost meanwhile */
export async function covered(next: Link, present: Link, { now, wait }: Time): Promise<boolean> {
  const end = now() + COVER_MAX_MS;
  while (!next.isOver && !present.isOver) {
    if (now() >= end || (await next.covers(present))) break;
    await wait(LOOK_EVERY_MS);
  }
  return !next.isOver && !present.isOver;
}
