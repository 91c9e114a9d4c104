/** Waiting for a condition, never for a fixed time. */

/** Between two looks. */
const LOOK_EVERY_MS = 100;

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Looks until `condition` gives something true, and gives that. What it throws ends the waiting.
 * @template T
 * @param {string} claim what is waited for, for the error
 * @param {number} maxMs
 * @param {() => T | Promise<T>} condition
 * @returns {Promise<T>}
 */
export async function until(claim, maxMs, condition) {
  const end = performance.now() + maxMs;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (performance.now() > end) throw new Error(`not within ${maxMs} ms: ${claim}`);
    await pause(LOOK_EVERY_MS);
  }
}
