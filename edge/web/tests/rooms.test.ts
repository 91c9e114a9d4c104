import { describe, expect, it } from 'vitest';
import type { ConferenceView, MessageView, RoomView } from '../src/protocol';
import { Rooms } from '../src/session/rooms';

const room = (id: string, more: Partial<RoomView> = {}): RoomView => ({
  room: id, kind: 'group', name: id, members: 3, with: null, unread: 0, read_upto: 0, last: null, may_write: true,
  may_open_conference: true, conferences: [], ...more,
});
const message = (id: string, at: number): MessageView => ({
  room: id, device: 'd', seq: at, index: at, author: 'ben', author_name: 'Ben', text: `m${at}`, at,
});
const conference = (open: boolean): ConferenceView => ({
  conference: 'c', room: 'a', room_name: 'a', title: 't', opened_by: 'ben', opened_by_name: 'Ben', at: 5, open, expected: 3, may_close: false,
});
const names = (rooms: Rooms) => rooms.list.value.map(({ room }) => room);

describe('rooms', () => {
  it('puts the one where something happened last on top', async () => {
    const rooms = new Rooms(async () => [room('a', { last: message('a', 1) }), room('b', { last: message('b', 2) })]);
    await rooms.load();
    expect(names(rooms)).toEqual(['b', 'a']);
    rooms.take({ type: 'message', head: 3, message: message('a', 3) });
    expect(names(rooms)).toEqual(['a', 'b']);
  });

  it('keeps what came live while the list was on its way', async () => {
    let answer: (rooms: RoomView[]) => void = () => {};
    const rooms = new Rooms(() => new Promise((resolve) => (answer = resolve)));
    const loading = rooms.load();
    rooms.take({ type: 'room', head: 2, room: room('new') });
    rooms.take({ type: 'room_gone', head: 3, room: 'old' });
    answer([room('old'), room('a')]);
    await loading;
    expect(names(rooms).sort()).toEqual(['a', 'new']);
  });

  it('does not count as unread again what was read while the count was on its way', async () => {
    const rooms = new Rooms(async () => [room('a', { unread: 2, read_upto: 5 })]);
    await rooms.load();
    rooms.read('a', 7);
    rooms.take({ type: 'room', head: 8, room: room('a', { unread: 2, read_upto: 5 }) });
    expect(rooms.find('a')).toMatchObject({ unread: 0, read_upto: 7 });
    rooms.take({ type: 'room', head: 9, room: room('a', { unread: 1, read_upto: 7 }) });
    expect(rooms.find('a')).toMatchObject({ unread: 1 });
  });

  it('shows a conference while it runs, and remembers that it was closed', async () => {
    const rooms = new Rooms(async () => [room('a')]);
    await rooms.load();
    rooms.take({ type: 'conference', head: 1, conference: conference(true) });
    expect(rooms.find('a')?.conferences).toHaveLength(1);
    rooms.take({ type: 'conference', head: 2, conference: conference(false) });
    expect(rooms.find('a')?.conferences).toHaveLength(0);
    expect(rooms.closed.value.has('c')).toBe(true);
  });
});
