/** Planned moves: a relay is drained, and a conference comes home to its box. Nothing is missing meanwhile, and nothing shown twice. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { quantile } from '../lib/gaps.mjs';
import { mediaPid } from '../lib/metrics.mjs';
import { suite } from '../lib/suite.mjs';
import { told, Trio, worst } from '../lib/trio.mjs';

const RUNS = Number(process.env.RUNS ?? 1);
/** The aim is 100 ms; here one machine encodes three cameras twice, beside whatever else it does: only that nobody waits for a join. */
const GAP_MAX_MS = 1_500;
/** Twenty pictures a second are sent: a machine on which they come so rarely is too busy to tell anything from their order. */
const BUSY_MS = 200;
const MOVED_MAX_MS = 30_000;
const FLIGHTS_MAX = 3;
/** A box's media process has to prove itself for a minute, and then it is a matter of luck for some quarters of one. */
const HOME_MAX_MS = 200_000;

suite('moves', (suite) => {
  /** @type {Trio} */ let trio;
  const drained = [];

  /**
   * From the box to the relay, by the box's death. On a busy machine somebody may be back at the box at once: that does no
   * harm, as long as somebody is at the relay.
   * @returns {Promise<number>} how many are
   */
  const flee = async () => {
    for (let tries = 1; tries <= FLIGHTS_MAX; tries += 1) {
      await trio.ready();
      const pid = await mediaPid(suite.stack, 'nord');
      await trio.through(() => process.kill(pid, 'SIGKILL'), MOVED_MAX_MS, (now, before) => before.node !== 'nord' || now.joins > before.joins);
      const nodes = await trio.ready();
      const fled = nodes.filter((node) => node === 'relay-1').length;
      if (fled > 0) return fled;
    }
    throw new Error(`nobody is at the relay, after ${FLIGHTS_MAX} deaths of the box's node`);
  };
  const home = ({ node }) => node === 'nord';

  const judge = (name, { calm, during }) => {
    console.log(`${name}: away in ms: pictures ${told(during, 'pictures')}, voices ${told(during, 'voices')}; calm: pictures ${worst(calm, 'pictures').toFixed(0)}, voices ${worst(calm, 'voices').toFixed(0)}; older by pictures: ${told(during, 'older')}`);
    // Where pictures stand still without any reason, so does what looks at them.
    if (worst(calm, 'pictures') <= BUSY_MS) assert.equal(worst(during, 'older'), 0, 'no picture is older than the one before it');
    for (const kind of ['pictures', 'voices']) {
      const limit = GAP_MAX_MS + worst(calm, kind);
      assert.ok(worst(during, kind) <= limit, `${kind} were away for ${worst(during, kind).toFixed(0)} of ${limit.toFixed(0)} ms`);
    }
  };

  suite.claim('a conference that fled from its box comes home when the box has proven itself', async () => {
    trio = await Trio.gather(suite);
    await flee();
    const result = await trio.through(() => {}, HOME_MAX_MS, home);
    judge('return', result);
  });

  suite.claim(`a relay is drained, ${RUNS} times: everybody goes over to the box without a gap`, async () => {
    for (let run = 1; run <= RUNS; run += 1) {
      const fled = await flee();
      const { stack } = suite;
      let report;
      const result = await trio.through(async () => {
        const { stdout } = await promisify(execFile)(stack.binary, ['relay', 'drain', 'relay-1', '--dir', stack.folder, '-o', 'json', '--minutes', '1']);
        report = JSON.parse(stdout);
      }, MOVED_MAX_MS, home);
      assert.equal(report.relay, 'relay-1');
      assert.equal(report.participants, fled);
      judge(`drain ${run}`, result);
      drained.push(result);
    }
    const over = (kind) => drained.map(({ during }) => worst(during, kind));
    console.log(`drains: worst pictures median ${quantile(over('pictures'), 0.5).toFixed(0)}, most ${Math.max(...over('pictures')).toFixed(0)} ms; voices ${quantile(over('voices'), 0.5).toFixed(0)}, ${Math.max(...over('voices')).toFixed(0)} ms`);
    for (const person of trio.people) await person.close();
  });
});
