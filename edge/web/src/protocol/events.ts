/**
 * The box's live stream: one WebSocket that is opened again for as long as the stream runs, and resumes after the
 * highest index that it has seen. `navigator.onLine` lies, so a heartbeat decides whether the box is there.
 */
import { HEARTBEAT_MS } from './limits';
import type { LiveEvent } from './live';
import type { Command, DeviceId, LogIndex } from './types';

/** A heartbeat, or the connecting, without an answer for so long: the way is dead, even if the socket has not noticed. */
const ANSWER_MAX_MS = 4_500;
/** How often is looked whether one is due, or overdue. */
const LOOK_EVERY_MS = HEARTBEAT_MS / 2;
/** First and longest wait before connecting again. Jittered, so that a school does not come back in one moment. */
const RETRY_MIN_MS = 400;
const RETRY_MAX_MS = 15_000;

export type Link = 'connecting' | 'open' | 'lost';

/** The part of `WebSocket` that is used, so that tests can bring their own. */
export interface SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface StreamOptions {
  /** Where to resume on the very first connection; none: from now on. */
  from?: () => LogIndex | null;
  device: () => DeviceId | null;
  onEvent: (event: LiveEvent) => void;
  onLink: (link: Link) => void;
  connect?: (path: string) => SocketLike;
  random?: () => number;
}

export class EventStream {
  private socket: SocketLike | null = null;
  private head: LogIndex | null = null;
  private failures = 0;
  private running = false;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  /** When the oldest thing was asked that nothing has been heard since; null: nothing is open. */
  private askedAt: number | null = null;
  private pingedAt = 0;

  constructor(private readonly options: StreamOptions) {}

  start(): void {
    if (this.running) return;
    this.head = this.options.from?.() ?? null;
    this.running = true;
    this.open();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.retryTimer);
    this.drop();
  }

  /** The highest index that was seen, or that the stream began with. */
  get position(): LogIndex | null {
    return this.head;
  }

  /** Something says that the way may be back (a request went through, the page is visible again): do not wait. */
  nudge(): void {
    if (!this.running || this.socket) return;
    clearTimeout(this.retryTimer);
    this.open();
  }

  /** Connects anew with what `device` gives now, from the newest on. */
  restart(): void {
    this.head = null;
    if (!this.running) return;
    clearTimeout(this.retryTimer);
    this.drop();
    this.open();
  }

  /** The way is another one now: connects there at once, and resumes. */
  move(): void {
    this.failures = 0;
    if (!this.running) return;
    clearTimeout(this.retryTimer);
    this.drop();
    this.open();
  }

  private open(): void {
    const query = new URLSearchParams();
    // Without `after` the box begins with what comes from now on.
    if (this.head !== null) query.set('after', String(this.head));
    const device = this.options.device();
    if (device !== null) query.set('device', device);
    this.options.onLink('connecting');
    const connect = this.options.connect ?? browserSocket;
    const socket = connect(`/api/events?${query}`);
    this.socket = socket;
    this.askedAt = this.pingedAt = Date.now();
    this.heartbeat = setInterval(() => this.beat(), LOOK_EVERY_MS);
    socket.onmessage = (event) => {
      if (this.socket === socket) this.take(String(event.data));
    };
    socket.onclose = () => {
      if (this.socket === socket) this.lost();
    };
  }

  private take(text: string): void {
    this.askedAt = null;
    let event: LiveEvent;
    try {
      event = JSON.parse(text) as LiveEvent;
    } catch {
      return;
    }
    if (event.type === 'hello') {
      this.failures = 0;
      // The box's events since `after` still follow: only they move the resume point, except on the very first time.
      this.head ??= event.head;
      this.options.onLink('open');
      // Its answer comes after everything that was missed.
      this.ping();
    } else if (event.type === 'reload') {
      this.head = event.head;
    } else if ('head' in event && this.head !== null) {
      this.head = Math.max(this.head, event.head);
    }
    if (event.type === 'session_ended') this.stop();
    this.options.onEvent(event);
  }

  private beat(): void {
    // Measured from the asking: in a hidden page timers sleep, and silence alone says nothing.
    const now = Date.now();
    if (this.askedAt !== null && now - this.askedAt >= ANSWER_MAX_MS) this.lost();
    else if (now - this.pingedAt >= HEARTBEAT_MS) this.ping();
  }

  private ping(): void {
    const ping: Command = { type: 'ping' };
    this.pingedAt = Date.now();
    this.askedAt ??= this.pingedAt;
    try {
      this.socket?.send(JSON.stringify(ping));
    } catch {
      // Still connecting: the silence decides.
    }
  }

  private lost(): void {
    this.drop();
    if (!this.running) return;
    this.options.onLink('lost');
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.failures, 10));
    this.failures += 1;
    const wait = ceiling * (0.5 + 0.5 * (this.options.random ?? Math.random)());
    this.retryTimer = setTimeout(() => this.open(), wait);
  }

  private drop(): void {
    clearInterval(this.heartbeat);
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

/** @param protocols see `BoxClient.subprotocols` */
export function browserSocket(address: string, protocols: string[] = []): SocketLike {
  const url = new URL(address, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return new WebSocket(url, protocols) as unknown as SocketLike;
}
