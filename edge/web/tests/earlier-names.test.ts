import { describe, expect, it } from 'vitest';
import type { LiveEvent, SocketLike } from '../src/protocol';
import { Cell } from '../src/session/cell';
import { EarlierNames } from '../src/session/earlier-names';
import type { Outbox, OutboxEntry } from '../src/session/outbox';
import { earlierNames } from '../src/session/outbox-rules';

class Socket implements SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;

  constructor(readonly path: string) {}

  send(): void {}

  close(): void {
    this.closed = true;
  }

  tell(event: LiveEvent): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }
}

const entry = (device: string, seq: number): OutboxEntry => ({
  id: seq,
  device,
  seq,
  saved: true,
  at: 1,
  body: { type: 'message.post', room: '7a', text: 'x' },
});

describe('an earlier name', () => {
  it('is followed until nothing waits under it, verdicts first and marks after them', () => {
    const entries = new Cell<readonly OutboxEntry[]>([]);
    const told: string[] = [];
    const outbox = {
      entries,
      since: 40,
      get earlierNames() {
        return earlierNames('now', entries.value);
      },
      marks: (marks: { device: string; secured: number }, greeting: boolean) => {
        told.push(`${marks.device} ${marks.secured} ${greeting}`);
        return Promise.resolve();
      },
    } as unknown as Outbox;
    const sockets: Socket[] = [];
    const names = new EarlierNames({
      outbox,
      connect: (path) => {
        const socket = new Socket(path);
        sockets.push(socket);
        return socket;
      },
      onRejected: (device, seq, reason) => told.push(`${device} ${seq} ${reason}`),
    });
    expect(sockets).toEqual([]);
    entries.set([entry('before', 3), entry('now', 1)]);
    entries.set([entry('before', 3), entry('now', 1), entry('now', 2)]);
    expect(sockets.map(({ path }) => path)).toEqual(['/api/events?after=40&device=before']);
    const [socket] = sockets;
    socket?.tell({ type: 'hello', head: 50, marks: { device: 'before', saved: 3, secured: 3 }, core_online: true });
    socket?.tell({ type: 'rejected', seq: 3, reason: 'not-a-member' });
    expect(told).toEqual(['before 3 not-a-member']);
    socket?.tell({ type: 'pong', head: 50 });
    expect(told).toEqual(['before 3 not-a-member', 'before 3 true']);
    entries.set([entry('now', 1)]);
    expect(socket?.closed).toBe(true);
    names.stop();
  });
});
