/**
 * The messages of one room, merged from pages, live events and the own outbox. Identity is (device, seq); the order is
 * the log's index, and what has none yet stands below, by its clock.
 */
import type { AccountId, Attachment, DeviceId, LogIndex, MessagePage, MessageView, RoomId } from '../protocol';
import { Cell, type Readable } from './cell';
import type { OutboxEntry, RefusedEntry } from './outbox';

export const PAGE_LEN = 60;

/** Of one's own message: where it is. Others' are `secured` or `saved`. */
export type MessageState = 'waiting' | 'saved' | 'secured' | 'refused';

export interface MessageItem {
  /** Stable for as long as the message is shown. */
  key: string;
  author: AccountId;
  authorName: string;
  text: string;
  attachments: readonly Attachment[];
  at: number;
  index: LogIndex | null;
  own: boolean;
  state: MessageState;
  /** With `refused`. */
  reason?: string;
  refusedId?: number;
}

export interface TimelineStatus {
  loaded: boolean;
  loading: boolean;
  failed: boolean;
  /** There is more before the first item. */
  hasOlder: boolean;
}

/** A page, and which of the nodes it came from. */
export interface PageFrom {
  node: string;
  page: MessagePage;
}

const identity = (device: DeviceId, seq: number) => `${device}:${seq}`;

export class Timeline {
  private readonly shown = new Cell<readonly MessageItem[]>([]);
  private readonly state = new Cell<TimelineStatus>({ loaded: false, loading: false, failed: false, hasOlder: false });
  private readonly messages = new Map<string, MessageView>();
  /** Which node told of a message that has no place yet: only that one can say that it is gone. */
  private readonly toldBy = new Map<string, string>();
  private waiting: readonly OutboxEntry[] = [];
  private refused: readonly RefusedEntry[] = [];
  private older: LogIndex | null = null;
  /** What came live while a page was on its way: the page may be older. */
  private meanwhile: { message: MessageView; node: string }[] | null = null;
  /** Older messages were asked for while the newest were on their way. */
  private olderWanted = false;
  /** Counts beginnings anew: an older page that was asked for before one does not join what came with it. */
  private era = 0;

  constructor(
    readonly room: RoomId,
    private readonly me: { account: AccountId; name: string },
    private readonly fetchPage: (room: RoomId, before: LogIndex | null, limit: number) => Promise<PageFrom>,
  ) {}

  get items(): Readable<readonly MessageItem[]> {
    return this.shown;
  }

  get status(): Readable<TimelineStatus> {
    return this.state;
  }

  /** Highest index among the messages: what a read mark may say. */
  get newest(): LogIndex {
    let newest = 0;
    for (const message of this.messages.values()) newest = Math.max(newest, message.index ?? 0);
    return newest;
  }

  /** The newest page; also after a reconnect, when something may have been missed. */
  async load(): Promise<void> {
    this.state.update((state) => ({ ...state, loading: true, failed: false }));
    this.meanwhile ??= [];
    let page: MessagePage;
    let node: string;
    try {
      ({ page, node } = await this.fetchPage(this.room, null, PAGE_LEN));
    } catch (error) {
      this.meanwhile = null;
      this.state.update((state) => ({ ...state, loading: false, failed: true }));
      throw error;
    }
    const first = page.items.find((message) => message.index !== null)?.index ?? null;
    const joins = page.older === null || [...this.messages.values()].some((m) => m.index !== null && first !== null && m.index >= first);
    // Without an overlap there may be a hole between: begin anew. What has no index and is not in the page of the node that
    // told of it is gone; another node may not have heard of it yet.
    for (const [key, message] of this.messages) {
      if (message.index === null ? this.toldBy.get(key) === node : !joins) this.forget(key);
    }
    if (!this.state.value.loaded || !joins) {
      this.older = page.older;
      this.era += 1;
    }
    for (const message of page.items) this.put(message, node);
    for (const late of this.meanwhile ?? []) this.put(late.message, late.node);
    this.meanwhile = null;
    this.state.set({ loaded: true, loading: false, failed: false, hasOlder: this.older !== null });
    this.show();
    const { olderWanted } = this;
    this.olderWanted = false;
    if (olderWanted) void this.loadOlder();
  }

  async loadOlder(): Promise<void> {
    const { loaded, loading } = this.state.value;
    if (this.meanwhile) this.olderWanted = true;
    if (!loaded || loading || this.older === null) return;
    this.state.update((state) => ({ ...state, loading: true, failed: false }));
    const { era } = this;
    try {
      const { page, node } = await this.fetchPage(this.room, this.older, PAGE_LEN);
      if (era !== this.era) return;
      this.older = page.older;
      for (const message of page.items) this.put(message, node);
      this.state.set({ loaded: true, loading: false, failed: false, hasOlder: this.older !== null });
      this.show();
    } catch {
      this.state.update((state) => ({ ...state, loading: false, failed: true }));
    }
  }

  take(message: MessageView, node: string): void {
    if (message.room !== this.room) return;
    this.meanwhile?.push({ message, node });
    this.put(message, node);
    this.show();
  }

  /** What the own browser still holds, of all rooms. */
  setOutbox(waiting: readonly OutboxEntry[], refused: readonly RefusedEntry[]): void {
    const here = <T extends { body: OutboxEntry['body'] }>(list: readonly T[]) =>
      list.filter(({ body }) => body.type === 'message.post' && body.room === this.room);
    this.waiting = here(waiting);
    this.refused = here(refused);
    this.show();
  }

  /** The core refused an own message that was shown as saved. */
  drop(device: DeviceId, seq: number): void {
    if (this.forget(identity(device, seq))) this.show();
  }

  private forget(key: string): boolean {
    this.toldBy.delete(key);
    return this.messages.delete(key);
  }

  private put(message: MessageView, node: string): void {
    const key = identity(message.device, message.seq);
    const known = this.messages.get(key);
    // An index is never taken back: an older event that comes late changes nothing.
    if (known && known.index !== null && message.index === null) return;
    this.messages.set(key, message);
    if (message.index === null) this.toldBy.set(key, node);
    else this.toldBy.delete(key);
  }

  private show(): void {
    const items: MessageItem[] = [];
    for (const [key, message] of this.messages) {
      items.push({
        key,
        author: message.author,
        authorName: message.author_name,
        text: message.text,
        attachments: message.attachments ?? [],
        at: message.at,
        index: message.index,
        own: message.author === this.me.account,
        state: message.index === null ? 'saved' : 'secured',
      });
    }
    const own = { author: this.me.account, authorName: this.me.name, index: null, own: true };
    for (const entry of this.waiting) {
      if (entry.body.type !== 'message.post') continue;
      const key = entry.seq === null ? `row:${entry.id}` : identity(entry.device, entry.seq);
      if (this.messages.has(key)) continue;
      const { text, attachments = [] } = entry.body;
      items.push({ ...own, key, text, attachments, at: entry.at, state: entry.saved ? 'saved' : 'waiting' });
    }
    for (const entry of this.refused) {
      if (entry.body.type !== 'message.post') continue;
      const { id, reason, at } = entry;
      const { text, attachments = [] } = entry.body;
      items.push({ ...own, key: `refused:${id}`, text, attachments, at, state: 'refused', reason, refusedId: id });
    }
    this.shown.set(items.sort(inOrder));
  }
}

function inOrder(a: MessageItem, b: MessageItem): number {
  if (a.index !== null && b.index !== null) return a.index - b.index;
  if (a.index !== null) return -1;
  if (b.index !== null) return 1;
  return a.at - b.at || (a.key < b.key ? -1 : 1);
}
