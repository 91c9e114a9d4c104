/** The box's HTTP API as a program uses it: for what a test needs to be there, not for what it claims. */

/** Most operations that a box takes at once. */
const SUBMIT_MAX = 200;
const PASSWORD = 'schulhof';

export class Api {
  #url;
  #cookie = '';
  #device = `test-${crypto.randomUUID()}`;
  #seq = 0;

  /** @param {string} url the box's address */
  constructor(url) {
    this.#url = url;
  }

  /** @param {string} url @param {string} login */
  static async login(url, login) {
    const api = new Api(url);
    const answer = await api.#ask('/api/login', { login, password: PASSWORD });
    api.#cookie = (answer.headers.getSetCookie()[0] ?? '').split(';')[0];
    return api;
  }

  /** @param {string} path */
  async get(path) {
    return (await this.#ask(path)).json();
  }

  /** Room of that name that the account is in. @param {string} name */
  async room(name) {
    const room = (await this.get('/api/rooms')).find((room) => room.name === name);
    if (!room) throw new Error(`there is no room ${name}`);
    return room;
  }

  /** A ticket for the running conference of the room. @param {string} name of the room */
  async ticket(name) {
    const [conference] = (await this.room(name)).conferences;
    if (!conference) throw new Error(`there is no conference in ${name}`);
    const answer = await (await this.#ask(`/api/conferences/${conference.conference}/ticket`, {})).json();
    if (answer.type !== 'granted') throw new Error(`no ticket: ${JSON.stringify(answer)}`);
    return answer;
  }

  /**
   * Posts messages, in order.
   * @param {string} room
   * @param {string[]} texts
   */
  post(room, texts) {
    return this.submit(texts.map((text) => ({ type: 'message.post', room, text })));
  }

  /** Does what the bodies say, in order. @param {{ type: string }[]} bodies */
  async submit(bodies) {
    for (let from = 0; from < bodies.length; from += SUBMIT_MAX) {
      const operations = bodies.slice(from, from + SUBMIT_MAX).map((body) => {
        this.#seq += 1;
        return { seq: this.#seq, at: Date.now() * 1024, body };
      });
      const answer = await (await this.#ask('/api/operations', { device: this.#device, operations })).json();
      const refused = answer.results.find(({ state }) => state !== 'saved');
      if (refused) throw new Error(`not saved: ${JSON.stringify(refused)}`);
    }
  }

  /** How far the operations of this have come. @returns {Promise<{ saved: number, secured: number }>} */
  marks() {
    return this.get(`/api/devices/${this.#device}`);
  }

  async #ask(path, body) {
    const headers = { cookie: this.#cookie };
    const write = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(this.#url + path, {
      ...write,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
}
