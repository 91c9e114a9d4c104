import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventStream, type Link, type LiveEvent, type SocketLike } from '../src/protocol';

class FakeSocket implements SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: string[] = [];
  closed = false;

  constructor(readonly path: string) {}

  send(text: string) {
    this.sent.push(text);
  }

  close() {
    this.closed = true;
  }

  say(event: LiveEvent) {
    this.onmessage?.({ data: JSON.stringify(event) });
  }
}

const hello = (head: number): LiveEvent => ({ type: 'hello', head, marks: null, core_online: true });
const read = (head: number): LiveEvent => ({ type: 'read', head, room: '7a', account: 'ben', upto: head });

describe('live stream', () => {
  const sockets: FakeSocket[] = [];
  const events: LiveEvent[] = [];
  const links: Link[] = [];
  let stream: EventStream;
  const last = () => sockets.at(-1) as FakeSocket;

  beforeEach(() => {
    vi.useFakeTimers();
    sockets.length = events.length = links.length = 0;
    stream = new EventStream({
      device: () => 'dev',
      onEvent: (event) => events.push(event),
      onLink: (link) => links.push(link),
      connect: (path) => {
        const socket = new FakeSocket(path);
        sockets.push(socket);
        return socket;
      },
      random: () => 1,
    });
    stream.start();
  });

  afterEach(() => {
    stream.stop();
    vi.useRealTimers();
  });

  it('begins with what comes from now on, and resumes after the highest index that it has seen', () => {
    expect(last().path).toBe('/api/events?device=dev');
    last().say(hello(100));
    last().say(read(105));
    last().say(read(103));
    last().say({ type: 'pong', head: 100 });
    last().onclose?.();
    vi.advanceTimersByTime(1_000);
    expect(last().path).toBe('/api/events?after=105&device=dev');
  });

  it('does not take a greeting for the events that still follow it', () => {
    last().say(hello(100));
    last().onclose?.();
    vi.advanceTimersByTime(1_000);
    last().say(hello(150));
    last().onclose?.();
    vi.advanceTimersByTime(1_000);
    expect(last().path).toContain('after=100&');
    last().say({ type: 'reload', head: 150 });
    last().onclose?.();
    vi.advanceTimersByTime(2_000);
    expect(last().path).toContain('after=150&');
  });

  it('waits longer after each failure, but never long, and not at all when nudged', () => {
    const waits: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      const count = sockets.length;
      last().onclose?.();
      let waited = 0;
      while (sockets.length === count) {
        vi.advanceTimersByTime(100);
        waited += 100;
      }
      waits.push(waited);
    }
    expect(waits.slice(0, 3)).toEqual([400, 800, 1_600]);
    expect(Math.max(...waits)).toBeLessThanOrEqual(15_000);
    last().onclose?.();
    const count = sockets.length;
    stream.nudge();
    expect(sockets.length).toBe(count + 1);
  });

  it('gives up a way that is silent although the socket seems open', () => {
    last().say(hello(1));
    last().say({ type: 'pong', head: 1 });
    vi.advanceTimersByTime(4_000);
    expect(last().sent.map((text) => JSON.parse(text))).toEqual(Array(2).fill({ type: 'ping' }));
    expect(links.at(-1)).toBe('open');
    vi.advanceTimersByTime(4_000);
    expect(sockets[0]?.closed).toBe(true);
    expect(links).toContain('lost');
  });

  it('keeps a way that answers', () => {
    last().say(hello(1));
    for (let i = 0; i < 30; i += 1) {
      vi.advanceTimersByTime(3_000);
      last().say({ type: 'pong', head: 1 });
    }
    expect(sockets).toHaveLength(1);
  });

  it('does not take a page that slept for a way that is dead', () => {
    last().say(hello(1));
    last().say({ type: 'pong', head: 1 });
    // Timers of a hidden page run once a minute; answers come at once all the same.
    for (let i = 0; i < 5; i += 1) {
      vi.setSystemTime(Date.now() + 60_000);
      vi.advanceTimersByTime(1_500);
      last().say({ type: 'pong', head: 1 });
    }
    expect(sockets).toHaveLength(1);
  });

  it('moves to another way at once, and resumes there', () => {
    last().say(hello(100));
    last().say(read(105));
    stream.move();
    expect(sockets[0]?.closed).toBe(true);
    expect(last().path).toBe('/api/events?after=105&device=dev');
  });

  it('does not come back after the session ended', () => {
    last().say(hello(1));
    last().say({ type: 'session_ended' });
    last().onclose?.();
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(events.at(-1)?.type).toBe('session_ended');
  });

  it('passes over what it does not understand', () => {
    last().onmessage?.({ data: '{broken' });
    last().say(hello(1));
    expect(events).toHaveLength(1);
  });
});
