// schulhof-mock: serves the built client (dist/) under the product's Content-Security-Policy, with a made-up box and media
// node behind it. `npm run build && npm run mock`. Never part of the product: the crate embeds dist/ only.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { WebSocketServer } from 'ws';
import { imports } from './imports.mjs';
import { groups, hlc, people, roster, school } from './data.mjs';

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.webmanifest': 'application/manifest+json' };

export const CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "font-src 'self'", "img-src 'self'", "manifest-src 'self'",
  "connect-src 'self' NODES", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
  "require-trusted-types-for 'script'", "worker-src 'self'", 'trusted-types svelte-trusted-html schulhof-worker',
].join('; ');

export async function serve({ port = 0, dist = new URL('../dist', import.meta.url).pathname, ...options } = {}) {
  const state = school(options);
  const control = { online: true, answering: true, refuse: null, delayMs: 0, signedIn: options.signedIn ?? false, kind: 'box', people: options.people ?? 7 };
  const lists = imports();
  let mustChange = options.firstPassword ?? false;
  const devices = new Map();
  const sockets = new Set();
  const controls = new Set();
  const url = () => `http://localhost:${server.address().port}`;
  // The cloud gateway: the same school at another origin, for who has a pass.
  const gatewayUrl = () => `http://nord.localhost:${gateway.address().port}`;
  const session = (atGateway) => ({
    ...state.session, core_online: control.online, must_change_password: mustChange,
    ...(atGateway ? { served_by: 'gateway-1', served_by_kind: 'gateway' } : options.gateway ? { gateway: { url: gatewayUrl(), pass: 'cGFzcw.c2ln' } } : {}),
  });

  const tell = (event) => sockets.forEach((socket) => socket.send(JSON.stringify(event)));
  const marksOf = (device) => {
    const known = devices.get(device) ?? { saved: 0, secured: 0 };
    return { device, ...known };
  };

  function perform(device, { seq, at, body }) {
    const { me } = state;
    if (body.type === 'message.post') {
      const message = { room: body.room, device, seq, index: null, author: me, author_name: state.nameOf(me), text: body.text, at };
      const list = state.messages.get(body.room) ?? [];
      state.messages.set(body.room, [...list, message]);
      const room = state.rooms.get(body.room);
      room.last = message;
      tell({ type: 'message', head: state.head(), message });
      later(() => {
        message.index = state.nextIndex();
        tell({ type: 'message', head: state.head(), message });
      });
    } else if (body.type === 'read.mark') {
      const room = state.rooms.get(body.room);
      Object.assign(room, { read_upto: body.upto, unread: 0 });
      tell({ type: 'room', head: state.head(), room });
    } else if (body.type === 'conference.open') {
      const conference = state.conference(body.conference, body.room, body.title, Date.now());
      state.rooms.get(body.room).conferences.push(conference);
      tell({ type: 'conference', head: state.head(), conference });
    } else if (body.type === 'conference.close') {
      for (const room of state.rooms.values()) {
        const conference = room.conferences.find((other) => other.conference === body.conference);
        if (!conference) continue;
        room.conferences = room.conferences.filter((other) => other !== conference);
        tell({ type: 'conference', head: state.head(), conference: { ...conference, open: false } });
      }
    } else if (body.type === 'room.direct') {
      const room = { room: `dm-${body.with}`, kind: 'direct', name: state.nameOf(body.with), members: 2, with: body.with, unread: 0, read_upto: 0, last: null, may_write: true, may_open_conference: false, conferences: [] };
      state.rooms.set(room.room, room);
      tell({ type: 'room', head: state.head(), room });
    }
  }

  const held = [];
  function later(action) {
    held.push(action);
    if (control.online) setTimeout(flush, 350);
  }
  function flush() {
    if (!control.online) return;
    held.splice(0).forEach((action) => action());
    for (const [device, marks] of devices) {
      marks.secured = marks.saved;
      tell({ type: 'marks', marks: marksOf(device) });
    }
  }

  function submit({ device, operations }) {
    const marks = devices.get(device) ?? { saved: 0, secured: 0 };
    devices.set(device, marks);
    const results = operations.map((operation) => {
      if (operation.seq <= marks.saved) return { seq: operation.seq, state: 'duplicate' };
      if (operation.seq > marks.saved + 1) return { seq: operation.seq, state: 'gap' };
      if (control.refuse && operation.body.type === 'message.post') return { seq: operation.seq, state: 'refused', reason: control.refuse };
      marks.saved = operation.seq;
      perform(device, operation);
      return { seq: operation.seq, state: 'saved' };
    });
    later(() => {});
    return { results, marks: marksOf(device) };
  }

  const problem = (status, code) => ({ status, body: { code, status, title: code } });
  const ok = (body, status = 200) => ({ status, body });

  async function api(method, path, query, body, atGateway) {
    if (path === '/api/login') {
      if (body.password !== 'schulhof') return problem(401, 'wrong-credentials');
      control.signedIn = true;
      return ok(session(false));
    }
    if (!control.signedIn && !atGateway) return problem(401, 'not-signed-in');
    if (path === '/api/logout') return (control.signedIn = false), ok(undefined, 204);
    if (path === '/api/session') return ok(session(atGateway));
    if (path === '/api/password') {
      if (body.old !== 'schulhof') return problem(403, 'wrong-password');
      mustChange = false;
      return ok(undefined, 204);
    }
    if (mustChange) return problem(403, 'password-first');
    if (path === '/api/imports') return ok(method === 'POST' ? lists.read(body) : lists.list());
    if (path.startsWith('/api/imports/')) return path.endsWith('/apply') ? ok(lists.apply()) : ok(lists.undo(), 204);
    if (path === '/api/people') return ok(people);
    if (path === '/api/groups') return ok(groups);
    if (path === '/api/rooms') return ok([...state.rooms.values()]);
    if (path === '/api/operations') return ok(submit(body));
    const [, , kind, id, rest] = path.split('/');
    if (kind === 'devices') return ok(marksOf(id));
    if (kind === 'rooms' && rest === 'messages') {
      const before = Number(query.get('before') ?? Infinity);
      const list = (state.messages.get(id) ?? []).filter((message) => (message.index ?? 1e9) < before);
      const items = list.slice(-Number(query.get('limit')));
      return ok({ items, older: items.length < list.length ? items[0].index : null });
    }
    if (kind === 'conferences') {
      const conference = [...state.rooms.values()].flatMap((room) => room.conferences).find((c) => c.conference === id);
      if (!conference) return problem(404, 'unknown-conference');
      if (rest !== 'ticket') return ok(conference);
      const node = (name, kind) => ({ name, kind, url: url() });
      const claims = { v: 1, id: 't1', school: 'nord', room: id, account: state.me, name: state.nameOf(state.me), role: 'moderator', audio_slots: 3, video_slots: 9, primary: node('nord', 'box'), standby: node('relay-1', 'relay'), expires_at_ms: Date.now() + 3_600_000 };
      return ok({ type: 'granted', ticket: 'ticket', claims });
    }
    return problem(404, 'not-found');
  }

  const handler = (atGateway) => async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    let text = '';
    for await (const chunk of request) text += chunk;
    if (control.delayMs > 0 && /rooms/.test(pathname)) await new Promise((resolve) => setTimeout(resolve, control.delayMs));
    if (pathname === '/media/join') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ session: 's1', answer: 'v=0', node: control.kind === 'box' ? 'nord' : 'relay-1', node_kind: control.kind }));
    } else if (pathname.startsWith('/api/')) {
      if (atGateway) {
        response.setHeader('access-control-allow-origin', request.headers.origin ?? '*');
        response.setHeader('access-control-allow-headers', 'authorization, content-type');
        response.setHeader('cross-origin-resource-policy', 'cross-origin');
        if (request.method === 'OPTIONS') return response.writeHead(204).end();
        if (!/^Bearer /.test(request.headers.authorization ?? '')) return response.writeHead(401, { 'content-type': 'application/problem+json' }).end('{"code":"not-signed-in"}');
      } else if (control.loading) {
        return response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"code":"loading","status":503,"title":""}');
      } else if (!control.answering) return response.destroy();
      const { status, body } = await api(request.method, pathname, searchParams, /json/.test(request.headers['content-type'] ?? '') ? JSON.parse(text) : text, atGateway);
      response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
      response.end(body === undefined ? '' : JSON.stringify(body));
    } else {
      const safe = normalize(pathname).replace(/^(\.\.[/\\])+/, '');
      const path = extname(safe) ? join(dist, safe) : join(dist, 'index.html');
      const bytes = await readFile(path).catch(() => null);
      if (!bytes) return response.writeHead(404).end();
      const policy = CSP.replace('NODES', `${url()} ${url().replace('http', 'ws')} ${gatewayUrl()} ${gatewayUrl().replace('http', 'ws')}`);
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-security-policy': policy });
      response.end(bytes);
    }
  };
  const server = createServer(handler(false));
  const gateway = createServer(handler(true));

  const doors = new WebSocketServer({ noServer: true });
  const upgrade = (atGateway) => (request, socket, head) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (!atGateway && (!control.answering || control.loading)) return socket.destroy();
    doors.handleUpgrade(request, socket, head, (door) => {
      if (pathname === '/api/events') {
        sockets.add(door);
        door.on('close', () => sockets.delete(door));
        door.on('message', () => door.send(JSON.stringify({ type: 'pong', head: state.head() })));
        const device = searchParams.get('device');
        door.send(JSON.stringify({ type: 'hello', head: state.head(), marks: device ? marksOf(device) : null, core_online: control.online }));
      } else {
        controls.add(door);
        door.on('close', () => controls.delete(door));
        media(door);
      }
    });
  };
  server.on('upgrade', upgrade(false));
  gateway.on('upgrade', upgrade(true));

  function media(door) {
    const send = (message) => door.send(JSON.stringify(message));
    const list = roster(state.me, control.people);
    if (control.screen) list[1].screen = true;
    send({ type: 'welcome', you: 'p-me', node: 'nord', node_kind: control.kind });
    send({ type: 'roster', participants: list });
    const sources = list.slice(1).filter((person) => person.camera).map((person) => [person.id, 'camera']);
    if (control.screen) sources.unshift([list[1].id, 'screen']);
    send({
      type: 'slots',
      audio: list.slice(1, 4).map(({ id }, slot) => ({ slot, participant: id, kind: 'microphone' })),
      video: sources.slice(0, 9).map(([participant, kind], slot) => ({ slot, participant, kind })),
    });
    send({ type: 'speakers', speakers: [{ participant: list[1]?.id ?? 'p-me', level: 96 }] });
    door.on('message', (text) => {
      const message = JSON.parse(text);
      if (message.type === 'ping') send({ type: 'pong', n: message.n });
      if (message.type === 'publish') Object.assign(list[0], { microphone: message.microphone, camera: message.camera, screen: message.screen });
      if (message.type === 'hand') list[0].hand = message.raised ? 1 + list.filter(({ hand }, i) => i > 0 && hand).length : null;
      if (message.type === 'publish' || message.type === 'hand') send({ type: 'roster', participants: list });
    });
  }

  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await new Promise((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  return {
    url: url(), state, control, tell, hlc,
    core(online) {
      control.online = online;
      tell({ type: 'core', online });
      flush();
    },
    say(room, author, text) {
      const message = { room, device: `d-${author}`, seq: 90_000 + state.head(), index: state.nextIndex(), author, author_name: state.nameOf(author), text, at: hlc(Date.now()) };
      state.messages.get(room).push(message);
      tell({ type: 'message', head: state.head(), message });
    },
    dropSockets: () => sockets.forEach((socket) => socket.terminate()),
    dropControls: () => controls.forEach((socket) => socket.terminate()),
    close: () => new Promise((resolve) => (sockets.forEach((s) => s.terminate()), controls.forEach((s) => s.terminate()), gateway.closeAllConnections(), gateway.close(), server.closeAllConnections(), server.close(resolve))),
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { url } = await serve({ port: 5180 });
  console.log(`${url}  (any user name, password "schulhof")`);
}
