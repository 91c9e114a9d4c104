/** What nodes say about themselves on their admin listeners. */

const FORWARDED = 'schulhof_media_forwarded_packets_total';

/** @param {string} admin base address */
export async function status(admin) {
  const answer = await fetch(`${admin}/status`);
  if (!answer.ok) throw new Error(`${admin}/status: ${answer.status}`);
  return answer.json();
}

/**
 * Sum over all label sets; 0 if the counter has not been touched yet.
 * @param {string} admin base address
 * @param {string} name
 */
export async function counter(admin, name) {
  const answer = await fetch(`${admin}/metrics`);
  if (!answer.ok) throw new Error(`${admin}/metrics: ${answer.status}`);
  let sum = 0;
  for (const line of (await answer.text()).split('\n')) {
    const [, found, value] = /^([a-z_:][a-z0-9_:]*)(?:\{.*\})?\s+(\S+)/i.exec(line) ?? [];
    if (found === name) sum += Number(value);
  }
  return sum;
}

/**
 * RTP packets that each media node has forwarded.
 * @param {import('./stack.mjs').Stack} stack
 * @param {'nord' | 'sued'} school
 */
export async function forwarded(stack, school) {
  const box = stack.node(school).media;
  if (!box) throw new Error(`the box ${school} has no media node`);
  const [onBox, onRelay] = await Promise.all([
    counter(box.admin, FORWARDED),
    counter(stack.node('relay-1').admin, FORWARDED),
  ]);
  return { box: onBox, relay: onRelay };
}

/**
 * Process of a box's media node, from the box's own status.
 * @param {import('./stack.mjs').Stack} stack
 * @param {'nord' | 'sued'} school
 * @returns {Promise<number>}
 */
export async function mediaPid(stack, school) {
  const pid = (await status(stack.node(school).admin)).media?.pid;
  if (typeof pid !== 'number') throw new Error(`the box ${school} names no media process`);
  return pid;
}
