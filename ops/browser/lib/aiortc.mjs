/** A person who takes part with aiortc, in a process of its own: `aiortc_person.py`. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('aiortc_person.py', import.meta.url));
/** Lines of its error output that a failure shows. */
const ERRORS_MAX = 40;

/**
 * @typedef {object} Report
 * @property {string} state of the peer connection
 * @property {string[]} people names in the room
 * @property {Record<string, number>} decoded pictures by name
 * @property {number[]} heard pitches that were heard so far
 * @property {string | null} closed why the node closed the connection
 */

export class AiortcPerson {
  /** The newest one. @type {Report | null} */ now = null;
  /** @type {string[]} */ errors = [];
  #child;

  /**
   * @param {string} name
   * @param {{ node: string, ticket: string, audio_slots: number, video_slots: number, pitch_hz: number, pitches_hz: number[], relayed?: boolean }} plan
   * @param {Record<string, string>} [environment] further variables
   */
  constructor(name, plan, environment = {}) {
    this.name = name;
    const python = process.env.AIORTC_PYTHON;
    if (!python) throw new Error('AIORTC_PYTHON names no Python with aiortc');
    this.#child = spawn(python, [SCRIPT], { env: { ...process.env, ...environment }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.on('error', (error) => this.errors.push(error.message));
    createInterface({ input: this.#child.stdout }).on('line', (line) => (this.now = JSON.parse(line)));
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      this.errors.push(line);
      this.errors.splice(0, this.errors.length - ERRORS_MAX);
    });
    this.#child.stdin.on('error', () => {});
    this.#child.stdin.write(`${JSON.stringify(plan)}\n`);
  }

  /** Leaves, and waits for the process to end. */
  async close() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}
