import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProblemError } from '../src/protocol';
import { Outbox, OutboxFull, type RefusedEntry } from '../src/session/outbox';
import { MemoryOutbox, openOutboxDb } from '../src/session/outbox-db';
import { OUTBOX_LEN_MAX } from '../src/session/outbox-rules';
import { FakeBox, FakeChannels, FakeLocks, until } from './support/box';

const message = (text: string) => ({ type: 'message.post' as const, room: '7a', text });

/** One browser with its tabs. */
class Browser {
  readonly locks = new FakeLocks();
  readonly channels = new FakeChannels();
  readonly refused: RefusedEntry[] = [];
  signedOut = 0;

  constructor(readonly box: FakeBox) {}

  async tab(): Promise<Outbox> {
    const outbox = new Outbox({
      school: 'nord',
      account: 'anna',
      db: await openOutboxDb(),
      box: this.box,
      own: this.locks.own,
      channel: this.channels.open(),
      onRefused: (entry) => this.refused.push(entry),
      onSignedOut: () => (this.signedOut += 1),
      random: () => 0,
    });
    await outbox.start();
    return outbox;
  }
}

const allSaved = (outbox: Outbox) => () => outbox.entries.value.every((entry) => entry.saved);

describe('outbox', () => {
  let box: FakeBox;
  let browser: Browser;

  beforeEach(() => {
    globalThis.indexedDB = new IDBFactory();
    box = new FakeBox();
    browser = new Browser(box);
  });

  it('numbers operations from 1 without gaps, in the order of writing', async () => {
    const outbox = await browser.tab();
    await Promise.all(['a', 'b', 'c', 'd'].map((text) => outbox.add(message(text))));
    await until(allSaved(outbox));
    expect(box.texts).toEqual(['a', 'b', 'c', 'd']);
    expect(box.numbers).toEqual([1, 2, 3, 4]);
    outbox.close();
  });

  it('keeps an operation until it is secured, not only until it is saved', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(allSaved(outbox));
    expect(outbox.entries.value).toHaveLength(1);
    box.secureAll();
    await outbox.marks(box.marks(outbox.device ?? ''), false);
    expect(outbox.entries.value).toHaveLength(0);
    outbox.close();
  });

  it('sends what was written offline after the page was closed and opened again', async () => {
    box.reachable = false;
    const first = await browser.tab();
    await first.add(message('offline'));
    const device = first.device;
    first.close();
    box.reachable = true;
    const second = await browser.tab();
    await until(() => box.texts.length === 1);
    expect(second.device).toBe(device);
    expect(box.texts).toEqual(['offline']);
    second.close();
  });

  it('sends again with the same number when an answer got lost, and it counts once', async () => {
    box.loseAnswers = 1;
    const outbox = await browser.tab();
    await outbox.add(message('once'));
    await until(() => box.submissions === 1);
    outbox.nudge();
    await until(allSaved(outbox));
    expect(box.texts).toEqual(['once']);
    outbox.close();
  });

  it('uses the number of a refused operation for the next one, and tells the person', async () => {
    box.refuse = (text) => (text === 'forbidden' ? 'not-a-member' : null);
    const outbox = await browser.tab();
    await Promise.all(['a', 'forbidden', 'b', 'c'].map((text) => outbox.add(message(text))));
    await until(() => box.texts.length === 3);
    await until(allSaved(outbox));
    expect(box.texts).toEqual(['a', 'b', 'c']);
    expect(box.numbers).toEqual([1, 2, 3]);
    expect(browser.refused.map(({ reason }) => reason)).toEqual(['not-a-member']);
    expect(outbox.refused.value).toHaveLength(1);
    await outbox.add(message('d'));
    await until(() => box.texts.length === 4);
    expect(box.numbers).toEqual([1, 2, 3, 4]);
    outbox.close();
  });

  it('does not use the number of a refused operation again when an earlier try of it had no answer', async () => {
    box.loseAnswers = 1;
    const outbox = await browser.tab();
    const device = outbox.device;
    await outbox.add(message('a'));
    await until(() => box.submissions === 1);
    // Another box, which never saw it, and where the person is no member any more.
    const log = box.log.get(device ?? '');
    box.log.clear();
    box.refuse = (text) => (text === 'a' ? 'not-a-member' : null);
    outbox.nudge();
    await until(() => browser.refused.length === 1);
    await outbox.add(message('b'));
    await until(() => box.texts.includes('b'));
    expect(log?.map(({ seq }) => seq)).toEqual([1]);
    expect(box.log.get(device ?? '') ?? []).toEqual([]);
    expect(outbox.device).not.toBe(device);
    outbox.close();
  });

  it('uses it again when a try was turned away before anybody looked at it', async () => {
    box.problem = new ProblemError({ code: 'too-many-requests', status: 429, title: '' });
    const outbox = await browser.tab();
    const device = outbox.device;
    await outbox.add(message('a'));
    await until(() => box.submissions === 1);
    box.problem = null;
    box.refuse = (text) => (text === 'a' ? 'not-a-member' : null);
    outbox.nudge();
    await until(() => browser.refused.length === 1);
    await outbox.add(message('b'));
    await until(() => box.texts.includes('b'));
    expect(outbox.device).toBe(device);
    expect(box.numbers).toEqual([1]);
    outbox.close();
  });

  it('writes again under another name what lost its number to a copy of the profile', async () => {
    const outbox = await browser.tab();
    const device = outbox.device ?? '';
    await outbox.add(message('mine'));
    await until(allSaved(outbox));
    box.log.set(device, [{ seq: 1, at: 1, body: message('by the copy') }]);
    await outbox.rejected(outbox.device ?? '', 1, 'number-taken');
    await until(() => box.texts.length === 2);
    expect(box.texts).toEqual(['by the copy', 'mine']);
    expect(browser.refused).toEqual([]);
    outbox.close();
  });

  it('sends what it saved under an earlier name under that name again when the box was burnt, and drops it when it is secured', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(allSaved(outbox));
    const before = outbox.device ?? '';
    // Refused, and an earlier try of it got no answer: what follows needs another name.
    box.refuse = (text) => (text === 'no' ? 'not-a-member' : null);
    box.loseAnswers = 1;
    await outbox.add(message('no'));
    await until(() => box.submissions === 2);
    outbox.nudge();
    await until(() => browser.refused.length === 1);
    await outbox.add(message('b'));
    await until(() => box.texts.includes('b'));
    const now = outbox.device ?? '';
    expect(now).not.toBe(before);
    expect(outbox.earlierNames).toEqual([before]);

    box.log.clear();
    await outbox.marks(box.marks(before), true);
    await outbox.marks(box.marks(now), true);
    await until(() => box.texts.length === 2);
    expect(box.log.get(before)?.map(({ seq, body }) => [seq, body])).toEqual([[1, message('a')]]);
    expect(box.log.get(now)?.map(({ seq, body }) => [seq, body])).toEqual([[1, message('b')]]);
    await until(allSaved(outbox));
    box.secureAll();
    await outbox.marks(box.marks(before), false);
    expect(outbox.entries.value.map(({ body }) => body)).toEqual([message('b')]);
    expect(outbox.earlierNames).toEqual([]);
    outbox.close();
  });

  it('hears a verdict on what it wrote under an earlier name', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(allSaved(outbox));
    const before = outbox.device ?? '';
    box.log.set(before, [...(box.log.get(before) ?? []), { seq: 2, at: 1, body: message('by a copy') }]);
    outbox.moved();
    await outbox.add(message('b'));
    await until(() => outbox.device !== before && allSaved(outbox)());
    await outbox.rejected(before, 1, 'not-a-member');
    expect(outbox.refused.value.map(({ body }) => body)).toEqual([message('a')]);
    expect(outbox.entries.value.map(({ body }) => body)).toEqual([message('b')]);
    outbox.close();
  });

  it('remembers from where on a verdict may have come while no page was there', async () => {
    const tab = async (head: number) => {
      const outbox = new Outbox({ school: 'nord', account: 'anna', db: await openOutboxDb(), box, own: browser.locks.own, head: () => head });
      await outbox.start();
      return outbox;
    };
    const first = await tab(40);
    expect(first.since).toBeNull();
    await first.add(message('a'));
    first.close();
    const second = await tab(90);
    await second.add(message('b'));
    expect(second.since).toBe(40);
    await until(allSaved(second));
    box.secureAll();
    await second.marks(box.marks(second.device ?? ''), false);
    expect(second.since).toBeNull();
    second.close();
  });

  it('goes on where a box stands that holds less than the one before', async () => {
    const outbox = await browser.tab();
    await Promise.all(['a', 'b', 'c'].map((text) => outbox.add(message(text))));
    await until(allSaved(outbox));
    // The box burnt down; the gateway has what was secured, which is the first one.
    const device = outbox.device ?? '';
    const [first] = box.log.get(device) ?? [];
    box.log.set(device, first ? [first] : []);
    await outbox.add(message('d'));
    await until(() => box.texts.length === 4);
    expect(box.texts).toEqual(['a', 'b', 'c', 'd']);
    outbox.close();
  });

  it('sends again what the greeting of another box says is missing', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(allSaved(outbox));
    const device = outbox.device ?? '';
    box.log.delete(device);
    await outbox.marks(box.marks(device), true);
    await until(() => box.texts.length === 1);
    expect(box.texts).toEqual(['a']);
    outbox.close();
  });

  it('takes a new name when a copied profile has used up its numbers', async () => {
    const mine = await browser.tab();
    await mine.add(message('before the copy'));
    await until(allSaved(mine));
    const device = mine.device ?? '';
    mine.close();
    const other = [2, 3].map((seq) => ({ seq, at: 1, body: message('by the copy') }));
    await box.submit({ account: 'anna', device, operations: other });
    const again = await browser.tab();
    await again.add(message('mine'));
    await until(allSaved(again));
    expect(again.device).not.toBe(device);
    expect(box.texts).toContain('mine');
    again.close();
  });

  it('takes a new name when the box says that the device is another account’s', async () => {
    box.refuse = () => 'device-of-another';
    const outbox = await browser.tab();
    const device = outbox.device;
    await outbox.add(message('a'));
    await until(() => outbox.device !== device);
    box.refuse = () => null;
    await until(() => box.texts.length === 1);
    expect(browser.refused).toEqual([]);
    outbox.close();
  });

  it('takes a new name when a box has lost numbers that are no longer held here', async () => {
    const outbox = await browser.tab();
    await Promise.all(['a', 'b'].map((text) => outbox.add(message(text))));
    await until(allSaved(outbox));
    const device = outbox.device ?? '';
    box.secureAll();
    await outbox.marks(box.marks(device), false);
    box.log.clear();
    box.secured.clear();
    await outbox.add(message('c'));
    for (let i = 0; i < 200 && outbox.device === device; i += 1) {
      outbox.nudge();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(() => box.texts.length === 1);
    expect(box.texts).toEqual(['c']);
    outbox.close();
  });

  it('lets one tab number for all', async () => {
    const [first, second] = [await browser.tab(), await browser.tab()];
    const texts = Array.from({ length: 12 }, (_, i) => `m${i}`);
    await Promise.all(texts.map((text, i) => (i % 2 === 0 ? first : second).add(message(text))));
    await until(() => box.texts.length === 12);
    expect([...box.texts].sort()).toEqual([...texts].sort());
    expect(box.numbers).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(first.device).toBe(second.device);
    await until(() => second.entries.value.length === 12 && allSaved(second)());
    first.close();
    second.close();
  });

  it('lets another tab take over when the one that numbered is closed', async () => {
    box.reachable = false;
    const [first, second] = [await browser.tab(), await browser.tab()];
    await first.add(message('a'));
    await second.add(message('b'));
    first.close();
    box.reachable = true;
    await until(() => box.texts.length === 2);
    expect(box.texts).toEqual(['a', 'b']);
    expect(box.numbers).toEqual([1, 2]);
    second.close();
  });

  it('drops what the core rejects at its place, and keeps the number used', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('too late'));
    await until(allSaved(outbox));
    await outbox.rejected(outbox.device ?? '', 1, 'not-a-member');
    expect(outbox.entries.value).toEqual([]);
    expect(browser.refused.map(({ reason }) => reason)).toEqual(['not-a-member']);
    await outbox.add(message('next'));
    await until(() => box.texts.length === 2);
    expect(box.numbers).toEqual([1, 2]);
    outbox.close();
  });

  it('keeps what was refused until its writer has seen to it, also when the page is closed meanwhile', async () => {
    const first = await browser.tab();
    await first.add(message('too late'));
    await until(allSaved(first));
    await first.rejected(first.device ?? '', 1, 'not-a-member');
    first.close();
    const second = await browser.tab();
    expect(second.refused.value).toMatchObject([{ body: { text: 'too late' }, reason: 'not-a-member' }]);
    expect(browser.refused).toHaveLength(2);
    const [{ id } = { id: 0 }] = second.refused.value;
    await second.sendAgain(id);
    await until(() => box.texts.length === 2);
    expect(box.texts).toEqual(['too late', 'too late']);
    expect(box.numbers).toEqual([1, 2]);
    expect(second.refused.value).toEqual([]);
    second.close();
    const third = await browser.tab();
    expect(third.refused.value).toEqual([]);
    third.close();
  });

  it('writes a rejection down in whichever tab hears of it, and shows it in all', async () => {
    const [first, second] = [await browser.tab(), await browser.tab()];
    await first.add(message('no'));
    await until(() => second.entries.value.length === 1 && allSaved(second)());
    await second.rejected(second.device ?? '', 1, 'not-a-member');
    await until(() => first.refused.value.length === 1);
    expect(first.entries.value).toEqual([]);
    first.close();
    second.close();
  });

  it('does not take for accepted what an answer says is in the log: the verdict comes with the live stream', async () => {
    const outbox = await browser.tab();
    await outbox.add(message('rejected while away'));
    await until(allSaved(outbox));
    outbox.close();
    box.secureAll();
    const again = await browser.tab();
    await again.add(message('b'));
    await until(() => box.texts.length === 2 && allSaved(again)());
    expect(again.entries.value).toHaveLength(2);
    await again.rejected(again.device ?? '', 1, 'not-a-member');
    box.secureAll();
    await again.marks(box.marks(again.device ?? ''), true);
    expect(again.refused.value.map(({ body }) => body)).toEqual([message('rejected while away')]);
    expect(again.entries.value).toEqual([]);
    again.close();
  });

  it('says in a code why the box takes nothing, and tries again', async () => {
    box.problem = new ProblemError({ code: 'disk-full', status: 507, title: '', retry_after_s: 60 });
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(() => outbox.problem.value === 'disk-full');
    box.problem = null;
    outbox.nudge();
    await until(allSaved(outbox));
    await until(() => outbox.problem.value === null);
    outbox.close();
  });

  it('gives up only the one operation that the box cannot read', async () => {
    const outbox = await browser.tab();
    box.problem = new ProblemError({ code: 'malformed', status: 400, title: '' });
    await outbox.add(message('broken'));
    await until(() => browser.refused.length === 1);
    box.problem = null;
    await outbox.add(message('fine'));
    await until(() => box.texts.length === 1);
    expect(box.texts).toEqual(['fine']);
    expect(box.numbers).toEqual([1]);
    outbox.close();
  });

  it('stops and says so when the session is over', async () => {
    box.problem = new ProblemError({ code: 'not-signed-in', status: 401, title: '' });
    const outbox = await browser.tab();
    await outbox.add(message('a'));
    await until(() => browser.signedOut === 1);
    expect(outbox.entries.value).toHaveLength(1);
    outbox.close();
  });

  it('keeps only the latest read mark of a room while none was sent', async () => {
    const offline = new Outbox({ school: 'nord', account: 'anna', db: new MemoryOutbox(), box, own: () => new Promise(() => {}) });
    await offline.start();
    await offline.add({ type: 'read.mark', room: '7a', upto: 3 });
    await offline.add({ type: 'read.mark', room: '7b', upto: 4 });
    await offline.add({ type: 'read.mark', room: '7a', upto: 9 });
    expect(offline.entries.value.map(({ body }) => body)).toEqual([
      { type: 'read.mark', room: '7b', upto: 4 },
      { type: 'read.mark', room: '7a', upto: 9 },
    ]);
    offline.close();
  });

  it('takes nothing more when it is full, rather than growing for ever', async () => {
    const db = new MemoryOutbox();
    await db.transact('nord:anna', (state) => {
      for (let id = 1; id <= OUTBOX_LEN_MAX; id += 1) {
        state.rows.push({ id, account: 'nord:anna', device: 'd', seq: null, saved: false, unanswered: 0, at: id, body: message('m') });
      }
    });
    const outbox = new Outbox({ school: 'nord', account: 'anna', db, box, own: () => new Promise(() => {}) });
    await outbox.start();
    await expect(outbox.add(message('one too many'))).rejects.toBeInstanceOf(OutboxFull);
    outbox.close();
  });
});

describe('an outbox between two nodes', () => {
  let box: FakeBox;
  let gateway: FakeBox;
  let serving: FakeBox;
  let outbox: Outbox;
  const moveTo = (node: FakeBox) => {
    serving = node;
    outbox.moved();
  };

  beforeEach(async () => {
    globalThis.indexedDB = new IDBFactory();
    box = new FakeBox();
    gateway = new FakeBox();
    serving = box;
    outbox = new Outbox({
      school: 'nord',
      account: 'anna',
      db: await openOutboxDb(),
      box: { submit: (request) => serving.submit(request), device: (device) => serving.device(device) },
      node: () => serving,
      own: new FakeLocks().own,
      random: () => 0,
    });
    await outbox.start();
  });
  afterEach(() => outbox.close());

  it('gives the gateway what only the box had saved, under the same numbers', async () => {
    await Promise.all(['a', 'b', 'c'].map((text) => outbox.add(message(text))));
    await until(allSaved(outbox));
    const device = outbox.device ?? '';
    // The core has the first one; the box is gone with the others.
    gateway.log.set(device, (box.log.get(device) ?? []).slice(0, 1));
    box.reachable = false;
    moveTo(gateway);
    await outbox.add(message('d'));
    await until(() => gateway.texts.length === 4);
    expect(gateway.texts).toEqual(['a', 'b', 'c', 'd']);
    expect(gateway.numbers).toEqual([1, 2, 3, 4]);
    expect(outbox.device).toBe(device);
    // Back at the box, which had a to c, it gets what it misses: the same operation by its number.
    box.reachable = true;
    moveTo(box);
    await until(() => box.texts.length === 4);
    expect(box.log.get(device)).toEqual(gateway.log.get(device));
  });

  it('does not take for saved at the gateway what the box says when it is too late', async () => {
    let answer: () => void = () => {};
    const { submit } = box;
    box.submit = async (request) => {
      const taken = await submit.call(box, request);
      await new Promise<void>((resolve) => (answer = resolve));
      return taken;
    };
    await outbox.add(message('a'));
    await until(() => box.texts.length === 1);
    moveTo(gateway);
    answer();
    await until(() => gateway.texts.length === 1);
    expect(gateway.texts).toEqual(['a']);
    expect(gateway.numbers).toEqual([1]);
  });

  it('does not give a number to anything else that the box may hold, when the gateway refuses it', async () => {
    await outbox.add(message('a'));
    await until(allSaved(outbox));
    const device = outbox.device;
    gateway.refuse = (text) => (text === 'a' ? 'not-a-member' : null);
    moveTo(gateway);
    await until(() => outbox.refused.value.length === 1);
    await outbox.add(message('b'));
    await until(() => gateway.texts.length === 1);
    expect(outbox.device).not.toBe(device);
  });

  it('keeps what no node has secured, whatever the other one has saved', async () => {
    await Promise.all(['a', 'b'].map((text) => outbox.add(message(text))));
    await until(allSaved(outbox));
    const device = outbox.device ?? '';
    gateway.reachable = false;
    moveTo(gateway);
    await outbox.marks({ device, saved: 0, secured: 0 }, true);
    expect(outbox.entries.value.map(({ saved }) => saved)).toEqual([false, false]);
    await outbox.marks({ device, saved: 1, secured: 1 }, false);
    expect(outbox.entries.value.map(({ body }) => body)).toEqual([message('b')]);
  });
});
