/** What a conversation shows, top to bottom: days, the line of what is new, and messages in groups of one person. */
import { hlcMs } from '../../protocol';
import type { MessageItem } from '../../session/timeline';

/** Messages of one person within this time stand together, with one name. */
const GROUP_MS = 5 * 60_000;

export type Row =
  | { kind: 'begin'; key: string }
  | { kind: 'day'; key: string; at: number }
  | { kind: 'new'; key: string }
  | { kind: 'message'; key: string; item: MessageItem; first: boolean; last: boolean };

/** The log indexes that came while nobody looked. */
export interface Unseen {
  after: number;
  upto: number;
}

export function rowsOf(
  items: readonly MessageItem[],
  options: { unseen: Unseen; dayOf: (at: number) => string },
): Row[] {
  const rows: Row[] = [{ kind: 'begin', key: 'begin' }];
  let marked = false;
  items.forEach((item, i) => {
    const before = items[i - 1];
    const after = items[i + 1];
    const day = options.dayOf(item.at);
    const newDay = !before || options.dayOf(before.at) !== day;
    if (newDay) rows.push({ kind: 'day', key: `day:${day}:${item.key}`, at: item.at });
    const isNew = !marked && !item.own && item.index !== null && item.index > options.unseen.after && item.index <= options.unseen.upto;
    if (isNew) {
      marked = true;
      rows.push({ kind: 'new', key: 'new' });
    }
    const together = (a: MessageItem | undefined, b: MessageItem | undefined) =>
      a !== undefined &&
      b !== undefined &&
      a.author === b.author &&
      Math.abs(hlcMs(b.at) - hlcMs(a.at)) < GROUP_MS &&
      options.dayOf(a.at) === options.dayOf(b.at);
    rows.push({
      kind: 'message',
      key: item.key,
      item,
      first: newDay || isNew || !together(before, item),
      last: !together(item, after),
    });
  });
  return rows;
}
