/**
 * Debian's Firefox as the tests use it, over Marionette: its remote protocol on a TCP port of this machine, each message
 * `LENGTH:JSON`. Playwright drives builds of its own only. A page's `evaluate` is as Playwright's, so that what looks at a
 * conference takes either browser.
 *
 * See https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html; the commands are those of WebDriver (W3C).
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PASSWORD } from './people.mjs';
import { until } from './until.mjs';
import { WORDS } from './words.mjs';

const START_MAX_MS = 30_000;
/** Each element that is waited for. */
const STEP_MAX_MS = 20_000;
const STOP_MAX_MS = 5_000;

/** @param {number} pitchHz of the fake microphone: a steady tone */
const prefs = (pitchHz) => ({
  'marionette.port': 0,
  'intl.accept_languages': 'de-DE, de',
  // A camera that changes its colour and a microphone with a tone, without asking.
  'media.navigator.streams.fake': true,
  'media.navigator.audio.fake_frequency': pitchHz,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Otherwise it has no candidate that reaches a node on this machine.
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.force_interface': 'lo',
  // Without a permission that lasts it would use the address of the default route alone.
  'permissions.default.camera': 1,
  'permissions.default.microphone': 1,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // No network but the system's.
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.dns.disablePrefetch': true,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage': 'about:blank',
  'browser.aboutwelcome.enabled': false,
  'app.update.enabled': false,
  'app.normandy.enabled': false,
  'extensions.getAddons.cache.enabled': false,
  'extensions.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.enabled': false,
  // GMP would be fetched.
  'media.gmp-manager.updateEnabled': false,
  'services.settings.server': 'data:,',
});

/** One person with a browser of his own. */
export class FirefoxPerson {
  words = WORDS.de;
  /** What a page of Playwright's has, as far as the conference's helpers need it. */
  page = { evaluate: (body, argument) => this.#script(`return (${body})(arguments[0])`, argument) };
  #child;
  #profile;
  /** @type {import('node:net').Socket} */ #socket;
  /** @type {Map<number, { resolve: (value: unknown) => void, reject: (error: Error) => void }>} */ #waiting = new Map();
  #lastId = 0;

  /** @param {string} name the account's */
  constructor(name) {
    this.name = name;
  }

  /**
   * @param {string} name
   * @param {number} pitchHz
   * @param {Record<string, unknown>} [more] further preferences
   */
  static async launch(name, pitchHz, more = {}) {
    const person = new FirefoxPerson(name);
    try {
      await person.#start({ ...prefs(pitchHz), ...more });
    } catch (error) {
      await person.close();
      throw error;
    }
    return person;
  }

  async #start(preferences) {
    this.#profile = mkdtempSync(join(tmpdir(), 'schulhof-firefox-'));
    const lines = Object.entries(preferences).map(([key, value]) => `user_pref(${JSON.stringify(key)}, ${JSON.stringify(value)});`);
    writeFileSync(join(this.#profile, 'user.js'), lines.join('\n'));
    const binary = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
    const home = { HOME: this.#profile, MOZ_DISABLE_CONTENT_SANDBOX: '1' };
    this.#child = spawn(binary, ['--headless', '--no-remote', '--marionette', '--profile', this.#profile], {
      env: { ...process.env, ...home },
      stdio: 'ignore',
    });
    let failure = null;
    this.#child.once('error', (error) => (failure = error));
    const file = join(this.#profile, 'MarionetteActivePort');
    const port = await until('Firefox can be driven', START_MAX_MS, () => {
      if (failure || this.#child.exitCode !== null) throw failure ?? new Error(`Firefox ended with ${this.#child.exitCode}`);
      return existsSync(file) && Number(readFileSync(file, 'utf8'));
    });
    await this.#connect(port);
    await this.#command('WebDriver:NewSession', {});
    await this.#command('WebDriver:SetTimeouts', { implicit: STEP_MAX_MS, script: 2 * STEP_MAX_MS, pageLoad: STEP_MAX_MS });
  }

  #connect(port) {
    return new Promise((resolve, reject) => {
      let pending = Buffer.alloc(0);
      this.#socket = connect(port, '127.0.0.1');
      this.#socket.once('error', reject);
      this.#socket.on('close', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('Firefox is gone'));
        this.#waiting.clear();
      });
      this.#socket.on('data', (data) => {
        pending = Buffer.concat([pending, data]);
        for (;;) {
          const colon = pending.indexOf(':');
          const end = colon + 1 + Number(pending.subarray(0, Math.max(colon, 0)).toString());
          if (colon < 0 || pending.length < end) return;
          const message = JSON.parse(pending.subarray(colon + 1, end).toString());
          pending = pending.subarray(end);
          // The first one is a greeting.
          if (Array.isArray(message)) this.#answer(message);
          else resolve();
        }
      });
    });
  }

  #answer([, id, error, result]) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(`${error.error}: ${error.message}`));
    else waiting?.resolve(result?.value ?? result);
  }

  #command(name, parameters) {
    if (!this.#socket || this.#socket.destroyed) return Promise.reject(new Error('Firefox is gone'));
    this.#lastId += 1;
    const id = this.#lastId;
    const text = JSON.stringify([0, id, name, parameters]);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  }

  #script(script, argument) {
    return this.#command('WebDriver:ExecuteScript', { script, args: [argument ?? null], sandbox: null });
  }

  /** Waits for the element. */
  async #find(xpath) {
    const element = await this.#command('WebDriver:FindElement', { using: 'xpath', value: xpath });
    return { id: Object.values(element)[0] };
  }

  async #click(xpath) {
    await this.#command('WebDriver:ElementClick', await this.#find(xpath));
  }

  async #fill(label, text) {
    const field = await this.#find(`//input[@id=//label[normalize-space()="${label}"]/@for]`);
    await this.#command('WebDriver:ElementSendKeys', { ...field, text });
  }

  /** Opens the school's page and signs in. @param {string} url @param {string} login */
  async signIn(url, login) {
    const { user, password, submit } = this.words.login;
    await this.#command('WebDriver:Navigate', { url });
    await this.#fill(user, login);
    await this.#fill(password, PASSWORD);
    await this.#click(`//button[normalize-space()="${submit}"]`);
  }

  /** Goes into the conference that the home page shows, past the device check. */
  async join() {
    const { preview, join } = this.words.check;
    await this.#click(`//main//a[starts-with(normalize-space(), "${join}")]`);
    await this.#find(`//video[@aria-label="${preview}"]`);
    await this.#click(`//button[normalize-space()="${join}"]`);
  }

  /** A picture of the page. @param {string} path */
  async photograph(path) {
    writeFileSync(path, Buffer.from(await this.#command('WebDriver:TakeScreenshot', { full: false }), 'base64'));
  }

  async close() {
    const child = this.#child;
    const ended = () => !child || child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    if (!ended()) child.kill('SIGTERM');
    await until('Firefox has stopped', STOP_MAX_MS, ended).catch(() => child.kill('SIGKILL'));
    this.#socket?.destroy();
    if (this.#profile) rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
