import { describe, expect, it } from 'vitest';
import type { MessagePage, MessageView } from '../src/protocol';
import { Timeline } from '../src/session/timeline';

const me = { account: 'anna', name: 'Anna' };
const view = (seq: number, index: number | null, more: Partial<MessageView> = {}): MessageView => ({
  room: '7a',
  device: 'd',
  seq,
  index,
  author: 'ben',
  author_name: 'Ben',
  text: `m${seq}`,
  at: 1_000 * seq,
  ...more,
});

function timeline(pages: (before: number | null) => MessagePage | Promise<MessagePage>) {
  return new Timeline('7a', me, async (_room, before) => ({ node: 'own', page: await pages(before) }));
}

const texts = (timeline: Timeline) => timeline.items.value.map((item) => item.text);

describe('timeline', () => {
  it('shows a message once, whichever ways it comes', async () => {
    const line = timeline(() => ({ items: [view(1, 10), view(2, null)], older: null }));
    await line.load();
    line.take(view(2, null), 'own');
    line.take(view(2, 11), 'own');
    line.take(view(2, null), 'own');
    expect(texts(line)).toEqual(['m1', 'm2']);
    expect(line.items.value[1]).toMatchObject({ index: 11, state: 'secured' });
  });

  it('orders by index, and what has none below by its clock', async () => {
    const line = timeline(() => ({ items: [view(1, 12), view(2, 11, { device: 'e' })], older: null }));
    await line.load();
    line.take(view(5, null, { at: 9_000 }), 'own');
    line.take(view(4, null, { at: 4_000, device: 'e' }), 'own');
    expect(texts(line)).toEqual(['m2', 'm1', 'm4', 'm5']);
  });

  it('shows what the own browser still holds, until the box shows it', async () => {
    const line = timeline(() => ({ items: [view(1, 10)], older: null }));
    await line.load();
    const body = { type: 'message.post' as const, room: '7a', text: 'mine' };
    const entry = { id: 7, device: 'own', seq: null, saved: false, at: 5_000, body };
    line.setOutbox([entry, { ...entry, id: 8, body: { ...body, room: '7b' } }], []);
    expect(line.items.value.map(({ text, state }) => [text, state])).toEqual([['m1', 'secured'], ['mine', 'waiting']]);
    line.setOutbox([{ ...entry, seq: 3, saved: true }], []);
    expect(line.items.value[1]).toMatchObject({ key: 'own:3', state: 'saved' });
    line.take(view(3, null, { device: 'own', author: 'anna', text: 'mine' }), 'own');
    expect(texts(line)).toEqual(['m1', 'mine']);
    expect(line.items.value[1]).toMatchObject({ key: 'own:3', state: 'saved', own: true });
    line.take(view(3, 11, { device: 'own', author: 'anna', text: 'mine' }), 'own');
    line.setOutbox([], []);
    expect(line.items.value[1]).toMatchObject({ key: 'own:3', state: 'secured' });
  });

  it('shows a refused message with its reason instead of letting it vanish', async () => {
    const line = timeline(() => ({ items: [], older: null }));
    await line.load();
    line.take(view(1, null, { device: 'own', author: 'anna' }), 'own');
    line.drop('own', 1);
    const body = { type: 'message.post' as const, room: '7a', text: 'm1' };
    line.setOutbox([], [{ id: 4, at: 1, body, reason: 'not-a-member' }]);
    expect(line.items.value).toHaveLength(1);
    expect(line.items.value[0]).toMatchObject({ state: 'refused', reason: 'not-a-member', refusedId: 4 });
  });

  it('pages back to the beginning without holes or doubles', async () => {
    const all = Array.from({ length: 150 }, (_, i) => view(i + 1, i + 1));
    const line = timeline((before) => {
      const older = all.filter((message) => before === null || (message.index ?? 0) < before);
      const items = older.slice(-60);
      return { items, older: items.length < older.length ? (items[0]?.index ?? null) : null };
    });
    await line.load();
    expect(line.status.value.hasOlder).toBe(true);
    await line.loadOlder();
    await line.loadOlder();
    await line.loadOlder();
    expect(texts(line)).toEqual(all.map((message) => message.text));
    expect(line.status.value.hasOlder).toBe(false);
  });

  it('keeps what came live while a page was on its way', async () => {
    let answer: (page: MessagePage) => void = () => {};
    const line = timeline(() => new Promise<MessagePage>((resolve) => (answer = resolve)));
    const loading = line.load();
    await Promise.resolve();
    line.take(view(2, 11), 'own');
    answer({ items: [view(1, 10)], older: null });
    await loading;
    expect(texts(line)).toEqual(['m1', 'm2']);
  });

  it('begins anew when too much was missed to join up, and drops what the core refused of others', async () => {
    let page: MessagePage = { items: [view(1, 10), view(2, null, { text: 'will be rejected' })], older: null };
    const line = timeline(() => page);
    await line.load();
    page = { items: [view(1, 10), view(3, 11)], older: null };
    await line.load();
    expect(texts(line)).toEqual(['m1', 'm3']);
    page = { items: [view(90, 400)], older: 400 };
    await line.load();
    expect(texts(line)).toEqual(['m90']);
    expect(line.status.value.hasOlder).toBe(true);
  });

  it('says that loading failed, and can be asked again', async () => {
    let broken = true;
    const line = timeline(() => {
      if (broken) throw new Error('no');
      return { items: [view(1, 10)], older: null };
    });
    await expect(line.load()).rejects.toThrow();
    expect(line.status.value).toMatchObject({ failed: true, loading: false });
    broken = false;
    await line.load();
    expect(line.status.value).toMatchObject({ failed: false, loaded: true });
  });

  it('brings the older ones that were asked for while the newest were on their way', async () => {
    const line = timeline((before) =>
      before === null ? { items: [view(2, 20)], older: 20 } : { items: [view(1, 10)], older: null },
    );
    await line.load();
    const again = line.load();
    const older = line.loadOlder();
    await Promise.all([again, older]);
    await expect.poll(() => texts(line)).toEqual(['m1', 'm2']);
    expect(line.status.value).toMatchObject({ loading: false, hasOlder: false });
  });

  it('does not put an older page before messages that it does not join', async () => {
    let older: (page: MessagePage) => void = () => {};
    let newest: MessagePage = { items: [view(2, 20)], older: 20 };
    const line = timeline((before) => (before === null ? newest : new Promise((resolve) => (older = resolve))));
    await line.load();
    const late = line.loadOlder();
    newest = { items: [view(9, 900)], older: 900 };
    await line.load();
    older({ items: [view(1, 10)], older: null });
    await late;
    expect(texts(line)).toEqual(['m9']);
    expect(line.status.value.hasOlder).toBe(true);
  });

  it('keeps what only the other node has heard of, until the one that told of it says that it is gone', async () => {
    let from: { node: string; page: MessagePage } = { node: 'own', page: { items: [view(1, 10), view(2, null)], older: null } };
    const line = new Timeline('7a', me, () => Promise.resolve(from));
    await line.load();
    line.take(view(3, null, { device: 'e' }), 'own');
    from = { node: 'gateway', page: { items: [view(1, 10)], older: null } };
    await line.load();
    expect(texts(line)).toEqual(['m1', 'm2', 'm3']);
    line.take(view(2, 11), 'gateway');
    expect(texts(line)).toEqual(['m1', 'm2', 'm3']);
    from = { node: 'own', page: { items: [view(1, 10), view(2, 11)], older: null } };
    await line.load();
    expect(texts(line)).toEqual(['m1', 'm2']);
  });
});
