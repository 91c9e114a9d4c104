/**
 * The whole system for one test file: `schulhof up` on free ports in a folder of its own, ready when this returns, gone
 * when the test file ends, however it ends.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.mjs';

/** Three elections, two seeded schools with hashed passwords, in a debug build on a busy machine. */
const READY_MAX_MS = 120_000;
/** `up` asks its processes to stop and kills those that do not. */
const STOP_MAX_MS = 15_000;
/** Of each log, on failure. */
const TAIL_LINES = 40;

const DEFAULT_BINARY = resolve(fileURLToPath(import.meta.url), '../../../../target/debug/schulhof');

/**
 * @typedef {object} Options
 * @property {string} [turnTls] folder with the certificate for TURN over TLS
 */

/**
 * @typedef {object} NodeRecord
 * @property {string} name
 * @property {'core' | 'relay' | 'box' | 'gateway'} kind
 * @property {number | null} pid
 * @property {string} admin base address of the admin listener
 * @property {string} url
 * @property {{ url: string, admin: string }} [media] a box's own media node
 * @property {string} data folder
 * @property {string} log
 */

export class Stack {
  #child;
  #dir;
  #stopped = false;
  /** @type {number[]} */
  #paused = [];
  #onExit = () => this.#kill();
  #onSignal = () => process.exit(1);

  /** @param {string} dir @param {import('node:child_process').ChildProcess} child */
  constructor(dir, child) {
    this.#dir = dir;
    this.#child = child;
    process.once('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, this.#onSignal);
  }

  /** Starts everything and waits until both schools can be used. @param {Options} [options] @returns {Promise<Stack>} */
  static async start({ turnTls } = {}) {
    const binary = resolve(process.env.SCHULHOF_BIN ?? DEFAULT_BINARY);
    if (!existsSync(binary)) throw new Error(`${binary} is missing: cargo build -p schulhof`);
    const dir = mkdtempSync(join(tmpdir(), 'schulhof-browser-'));
    const output = openSync(join(dir, 'up.out'), 'w');
    const ready = join(dir, 'ready.json');
    const further = turnTls ? ['--turn-tls', turnTls] : [];
    const child = spawn(binary, ['up', '--base-port', '0', '--dir', join(dir, 'up'), '--ready-file', ready, ...further], {
      cwd: dir,
      // In a group of its own, so that a Ctrl-C in the terminal leaves stopping to us; tied to this process, so that it
      // does not outlive a test that was killed.
      detached: true,
      env: { ...process.env, SCHULHOF_PARENT_PID: String(process.pid) },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const stack = new Stack(dir, child);
    let failure = '';
    child.once('error', (error) => (failure = error.message));
    try {
      await until('the system is ready', READY_MAX_MS, () => {
        if (failure) throw new Error(failure);
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`schulhof up ended with ${child.exitCode ?? child.signalCode}`);
        }
        return existsSync(ready);
      });
    } catch (error) {
      stack.printLogs();
      await stack.stop();
      throw error;
    }
    return stack;
  }

  /** Of the program, for its other commands. */
  get binary() {
    return resolve(process.env.SCHULHOF_BIN ?? DEFAULT_BINARY);
  }

  /** What such commands call `--dir`. */
  get folder() {
    return join(this.#dir, 'up');
  }

  /** What `up` has written down last: a process that was started again has another id. @returns {NodeRecord[]} */
  nodes() {
    return JSON.parse(readFileSync(join(this.#dir, 'up', 'up.json'), 'utf8')).nodes;
  }

  /** @param {string} name @returns {NodeRecord} */
  node(name) {
    const node = this.nodes().find((node) => node.name === name);
    if (!node) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** The school's address for browsers. @param {'nord' | 'sued'} school */
  url(school) {
    return this.node(school).url;
  }

  /** All origins that a browser of the school may talk to. @param {'nord' | 'sued'} school */
  origins(school) {
    const box = this.node(school);
    const { gateway } = box;
    return [box.url, gateway, box.media?.url, this.node('relay-1').url].filter((url) => url !== undefined);
  }

  /**
   * Kills a node, and keeps `up` from starting it again until `bringUp`.
   * @param {string} name
   * @param {{ burnt?: boolean }} [options] burnt: with everything that it had written
   */
  async takeDown(name, { burnt = false } = {}) {
    const { pid, data } = this.node(name);
    if (pid === null) throw new Error(`${name} is not running`);
    this.#child.kill('SIGSTOP');
    process.kill(pid, 'SIGKILL');
    // A process that `up` has not yet waited for is a zombie, and holds nothing open.
    await until(`${name} is dead`, STOP_MAX_MS, () => isDead(pid));
    if (burnt) rmSync(data, { recursive: true, force: true });
  }

  /** `up` goes on, and starts again what is dead. */
  bringUp() {
    this.#child.kill('SIGCONT');
  }

  /** All core nodes stand still, as behind a line that was cut. */
  pauseCore() {
    for (const { kind, pid } of this.nodes()) {
      if (kind !== 'core' || pid === null) continue;
      process.kill(pid, 'SIGSTOP');
      this.#paused.push(pid);
    }
    if (this.#paused.length === 0) throw new Error('no core node is running');
  }

  resumeCore() {
    for (const pid of this.#paused.splice(0)) process.kill(pid, 'SIGCONT');
  }

  /** The ends of all logs, for whoever reads of a failure. */
  printLogs() {
    for (const path of logs(this.#dir)) {
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
      console.error(`--- ${path.slice(this.#dir.length + 1)}\n${lines.slice(-TAIL_LINES).join('\n')}`);
    }
  }

  async stop() {
    if (this.#stopped) return;
    this.resumeCore();
    this.bringUp();
    const ended = () => this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
    if (!ended()) this.#child.kill('SIGTERM');
    await until('schulhof up has stopped', STOP_MAX_MS, ended).catch((error) => console.error(error.message));
    this.#kill();
    process.off('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, this.#onSignal);
  }

  /** Synchronous, as it also runs while the process exits. The nodes die with `up`. */
  #kill() {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    if (process.env.KEEP === '1') console.error(`kept: ${this.#dir}`);
    else rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** @param {number} pid */
function isDead(pid) {
  try {
    // The state stands behind the name, which is in brackets.
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

/** @param {string} dir */
function logs(dir) {
  return readdirSync(dir, { recursive: true })
    .map((name) => join(dir, String(name)))
    .filter((path) => /(^|\/)(up\.out|log|[^/]*\.log)$/.test(path) && statSync(path).isFile())
    .sort();
}
