/** The rooms of the account, with what is new in them, and the conferences that run. */
import type { ConferenceId, ConferenceView, LiveEvent, RoomId, RoomView } from '../protocol';
import { Cell, type Readable } from './cell';

export class Rooms {
  private readonly sorted = new Cell<readonly RoomView[]>([]);
  private readonly ready = new Cell(false);
  private readonly ended = new Cell<ReadonlySet<ConferenceId>>(new Set());
  private byId = new Map<RoomId, RoomView>();
  /** What came while a list was on its way; it may be newer than the list. */
  private meanwhile: LiveEvent[] | null = null;

  constructor(private readonly fetchRooms: () => Promise<RoomView[]>) {}

  /** Latest first. */
  get list(): Readable<readonly RoomView[]> {
    return this.sorted;
  }

  get loaded(): Readable<boolean> {
    return this.ready;
  }

  /** Conferences that were closed while this page was there. */
  get closed(): Readable<ReadonlySet<ConferenceId>> {
    return this.ended;
  }

  find(room: RoomId): RoomView | undefined {
    return this.byId.get(room);
  }

  async load(): Promise<void> {
    this.meanwhile ??= [];
    const rooms = await this.fetchRooms();
    const meanwhile = this.meanwhile ?? [];
    this.meanwhile = null;
    this.byId = new Map(rooms.map((room) => [room.room, room]));
    for (const event of meanwhile) this.apply(event);
    this.ready.set(true);
    this.show();
  }

  take(event: LiveEvent): void {
    this.meanwhile?.push(event);
    if (this.apply(event)) this.show();
  }

  /** The person has read up to here: shown at once, the box's own count follows. */
  read(room: RoomId, upto: number): void {
    const known = this.byId.get(room);
    if (!known || known.read_upto >= upto) return;
    this.byId.set(room, { ...known, read_upto: upto, unread: 0 });
    this.show();
  }

  private apply(event: LiveEvent): boolean {
    switch (event.type) {
      case 'room': {
        const known = this.byId.get(event.room.room);
        // A count that was on its way when the person read on would blink.
        const stale = known !== undefined && event.room.read_upto < known.read_upto;
        const room = stale ? { ...event.room, read_upto: known.read_upto, unread: known.unread } : event.room;
        this.byId.set(room.room, room);
        return true;
      }
      case 'room_gone':
        return this.byId.delete(event.room);
      case 'message': {
        const known = this.byId.get(event.message.room);
        if (!known || (known.last && known.last.at > event.message.at)) return false;
        this.byId.set(known.room, { ...known, last: event.message });
        return true;
      }
      case 'conference':
        return this.conference(event.conference);
      default:
        return false;
    }
  }

  private conference(conference: ConferenceView): boolean {
    if (!conference.open) this.ended.update((ended) => new Set(ended).add(conference.conference));
    const known = this.byId.get(conference.room);
    if (!known) return false;
    const others = known.conferences.filter((other) => other.conference !== conference.conference);
    this.byId.set(known.room, { ...known, conferences: conference.open ? [...others, conference] : others });
    return true;
  }

  private show(): void {
    const latest = (room: RoomView) => Math.max(room.last?.at ?? 0, ...room.conferences.map((c) => c.at));
    this.sorted.set(
      [...this.byId.values()].sort((a, b) => latest(b) - latest(a) || a.name.localeCompare(b.name)),
    );
  }
}
