/** A bad line in front of one browser's media: the seeded UDP proxy `udp-line` between the page and its node. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = join(dirname(process.env.SCHULHOF_BIN), 'udp-line');

export class Line {
  /** @type {import('node:child_process').ChildProcess[]} */ #proxies = [];

  /** @param {string} words as `udp-line` takes them: `down.rate=500 loss=50 delay=75` */
  constructor(words, seed = 7) {
    this.words = words;
    this.seed = seed;
  }

  /** From now on, for media that flows already too. @param {string} words */
  set(words) {
    this.words = words;
    for (const proxy of this.#proxies) proxy.stdin.write(`${words}\n`);
  }

  /** Sends the media of all calls that the page joins from now on over this line. @param {import('./people.mjs').Person} person */
  async carry({ page }) {
    await page.exposeFunction('__lineTo', (host, port) => this.#open(host, port));
    await page.evaluate(() => {
      const { prototype } = RTCPeerConnection;
      const { setRemoteDescription } = prototype;
      const CANDIDATE = /(a=candidate:\S+ 1 udp \d+ )([\d.]+) (\d+)( typ host)/;
      prototype.setRemoteDescription = async function (description) {
        let { sdp } = description;
        const found = CANDIDATE.exec(sdp);
        if (found) {
          const port = await window.__lineTo(found[2], Number(found[3]));
          // The other candidates would be ways around the line.
          sdp = sdp.replace(/a=candidate:.*\r\n/g, '').replace('a=end-of-candidates\r\n', `${found[1]}127.0.0.1 ${port}${found[4]}\r\na=end-of-candidates\r\n`);
        }
        return setRemoteDescription.call(this, { type: description.type, sdp });
      };
    });
  }

  /** @returns {Promise<number>} the port of a proxy to there */
  async #open(host, port) {
    const args = ['127.0.0.1:0', `${host}:${port}`, `seed=${this.seed}`, ...this.words.split(' ')];
    const proxy = spawn(BINARY, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#proxies.push(proxy);
    for await (const line of createInterface({ input: proxy.stdout })) return Number(/:(\d+) ->/.exec(line)?.[1]);
    throw new Error('the line did not open');
  }

  close() {
    // The end of its input ends it.
    for (const proxy of this.#proxies) proxy.stdin.end();
  }
}
