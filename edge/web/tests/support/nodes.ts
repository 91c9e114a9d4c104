/** A box and a gateway as a page sees them over HTTP: there, silent, loading, or without its session. */
import { BoxClient, type SessionView } from '../../src/protocol';
import { MemoryPasses } from '../../src/session/passes';
import { Route, type RouteOptions } from '../../src/session/route';

export const GATEWAY = 'https://nord.gateway.example';
const HOUR_MS = 3_600_000;

/** A pass as the box makes it; nothing here checks its signature. */
export function passOf(account: string, issuedMs: number): string {
  const claims = { v: 1, school: 'nord', account, session: 's', password_mark: '00', issued_ms: issuedMs, expires_ms: issuedMs + 24 * HOUR_MS };
  return `${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
}

export type Health = 'there' | 'refused' | 'hangs' | 'loading' | 'signed-out';

/** One of the two, behind `fetch`. */
export class FakeNode {
  health: Health = 'there';
  account = 'anna';
  /** The one on the sheet, until it is changed. */
  firstPassword: string | null = null;
  /** Method, path, `Authorization`, credentials. */
  readonly asked: { method: string; path: string; authorization: string | null; credentials: string | undefined }[] = [];

  constructor(
    readonly base: string,
    readonly kind: 'box' | 'gateway',
  ) {}

  fetch = (url: string, init: RequestInit): Promise<Response> => {
    const path = url.slice(this.base.length);
    const authorization = new Headers(init.headers).get('authorization');
    this.asked.push({ method: init.method ?? 'GET', path, authorization, credentials: init.credentials });
    const json = (status: number, body: unknown) =>
      Promise.resolve(new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } }));
    switch (this.health) {
      case 'refused':
        return Promise.reject(new TypeError('fetch failed'));
      case 'hangs':
        return new Promise((_, reject) => init.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError'))));
      case 'loading':
        return json(503, { code: 'loading', status: 503, title: '', retry_after_s: 1 });
      case 'signed-out':
        return json(401, { code: 'not-signed-in', status: 401, title: '' });
      default:
        if (path === '/api/session') return json(200, this.view());
        if (path === '/api/password') return this.password(JSON.parse(String(init.body)));
        if (path === '/api/logout') return Promise.resolve(new Response(null, { status: 204 }));
        return json(200, [this.kind]);
    }
  };

  private password({ old }: { old: string }): Promise<Response> {
    const wrong = this.firstPassword !== null && old !== this.firstPassword;
    if (!wrong) this.firstPassword = null;
    const headers = { 'content-type': 'application/json' };
    return Promise.resolve(wrong ? new Response('{"code":"wrong-password"}', { status: 403, headers }) : new Response(null, { status: 204 }));
  }

  view(): SessionView {
    const gateway = this.kind === 'box' ? { gateway: { url: GATEWAY, pass: passOf(this.account, Date.now()) } } : {};
    return {
      account: this.account, login: this.account, name: 'Anna', role: 'teacher', school: 'nord', school_name: 'Nord',
      served_by: this.kind === 'box' ? 'nord' : 'gateway-1', served_by_kind: this.kind, core_online: true, must_change_password: this.firstPassword !== null, ...gateway,
    };
  }
}

export function twoNodes(more: Partial<RouteOptions> = {}, health: Health = 'there') {
  const box = new FakeNode('', 'box');
  box.health = health;
  const gateway = new FakeNode(GATEWAY, 'gateway');
  const passes = new MemoryPasses();
  const told = { ended: 0, takenOver: 0, moves: [] as string[] };
  const makeGateway = (url: string, pass: () => string) => new BoxClient(url, gateway.fetch, pass);
  const route = new Route({
    view: box.view(),
    own: new BoxClient('', box.fetch),
    passes,
    makeGateway,
    onEnded: () => (told.ended += 1),
    onTakenOver: () => (told.takenOver += 1),
    random: () => 0.5,
    ...more,
  });
  route.onMoved(() => told.moves.push(route.state.value.at));
  return { box, gateway, passes, route, told, makeGateway };
}
