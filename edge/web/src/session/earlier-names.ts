/**
 * A browser may have to take another device name (see `outbox-rules`) while something waits to be secured under the one
 * before. Until that is done a live stream follows the earlier name, too: for its marks, and for what the core refuses.
 */
import { EventStream, type DeviceId, type DeviceMarks, type LiveEvent, type SocketLike } from '../protocol';
import type { Outbox } from './outbox';

/** Streams at once. It takes trouble to get one; the rest waits its turn. */
const STREAMS_MAX = 2;

export interface EarlierNamesOptions {
  outbox: Outbox;
  connect: (path: string) => SocketLike;
  onRejected: (device: DeviceId, seq: number, reason: string) => void;
}

export class EarlierNames {
  private readonly streams = new Map<DeviceId, EventStream>();
  private readonly leave: () => void;

  constructor(private readonly options: EarlierNamesOptions) {
    this.leave = options.outbox.entries.subscribe(() => this.look());
  }

  stop(): void {
    this.leave();
    for (const stream of this.streams.values()) stream.stop();
    this.streams.clear();
  }

  nudge(): void {
    for (const stream of this.streams.values()) stream.nudge();
  }

  move(): void {
    for (const stream of this.streams.values()) stream.move();
  }

  private look(): void {
    const names = this.options.outbox.earlierNames;
    for (const [name, stream] of this.streams) {
      if (names.includes(name)) continue;
      stream.stop();
      this.streams.delete(name);
    }
    for (const name of names) {
      if (this.streams.size >= STREAMS_MAX) return;
      if (!this.streams.has(name)) this.follow(name);
    }
  }

  private follow(device: DeviceId): void {
    const { outbox, connect, onRejected } = this.options;
    // What is secured is dropped only after the verdicts that were missed.
    let greeting: DeviceMarks | null = null;
    const take = (event: LiveEvent) => {
      if (event.type === 'hello') greeting = event.marks;
      else if (event.type === 'marks') void outbox.marks(event.marks, false);
      else if (event.type === 'rejected') onRejected(device, event.seq, event.reason);
      else if (event.type === 'pong' && greeting) {
        void outbox.marks(greeting, true);
        greeting = null;
      }
    };
    const from = () => outbox.since;
    const stream = new EventStream({ device: () => device, from, onEvent: take, onLink: () => {}, connect });
    this.streams.set(device, stream);
    stream.start();
  }
}
