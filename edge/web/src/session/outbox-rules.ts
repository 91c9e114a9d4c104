/**
 * The rules of a device's numbers, as pure changes of one state: which operation gets which number, what is sent, and
 * what an answer means. `outbox.ts` runs them inside one database transaction each.
 *
 * A device numbers its operations from 1 without gaps; (device, seq) is an operation's identity, so a number that may
 * have reached a box is never given to anything else, unless that box said `refused`.
 */
import {
  SUBMIT_OPERATIONS_MAX,
  hlcTick,
  type Body,
  type DeviceId,
  type DeviceMarks,
  type Hlc,
  type LogIndex,
  type Seq,
  type SubmitAnswer,
  type SubmittedOperation,
} from '../protocol';

/** Refused ones that are kept; past it the oldest are forgotten. */
export const REFUSED_LEN_MAX = 100;
/** Kept at most until secured: a week offline in one class. Past it, nothing new is taken. */
export const OUTBOX_LEN_MAX = 5_000;
/** Characters of JSON in one submission: stays below `api::BODY_LEN_MAX` (256 KiB) even if each takes 2 bytes. */
const BATCH_CHARS_MAX = 100_000;

export interface DeviceRow {
  account: string;
  device: DeviceId;
  /** The number that the next operation gets. */
  next: Seq;
  /** The highest number that was ever put into a request. */
  tried: Seq;
  /** Last clock reading. */
  at: Hlc;
  /** The log's head when the oldest of what is kept was written: a verdict on it can only come after that. */
  since: LogIndex | null;
}

export interface OutboxRow {
  /** Order of writing; the database's key. */
  id: number;
  account: string;
  device: DeviceId;
  /** None until the tab that owns the numbers has given one. */
  seq: Seq | null;
  saved: boolean;
  /** Requests with this number whose answer never came: the number may be in use, here or at another box. */
  unanswered: number;
  at: Hlc;
  body: Body;
}

/** What was refused, kept until its writer has seen to it. */
export interface RefusedRow {
  /** That of the operation. */
  id: number;
  account: string;
  at: Hlc;
  body: Body;
  /** Stable code. */
  reason: string;
}

export interface OutboxState {
  device: DeviceRow;
  /** By `id`. */
  rows: OutboxRow[];
  /** By `id`. */
  refused: RefusedRow[];
}

export function newDevice(account: string, device: DeviceId): DeviceRow {
  return { account, device, next: 1, tried: 0, at: 0, since: null };
}

export function tick(device: DeviceRow, nowMs: number): Hlc {
  device.at = hlcTick(device.at, nowMs);
  return device.at;
}

/** Takes back read marks that a later one makes needless, and that nobody has seen. */
export function supersede(state: OutboxState, body: Body): void {
  if (body.type !== 'read.mark') return;
  state.rows = state.rows.filter(
    (row) => row.seq !== null || row.body.type !== 'read.mark' || row.body.room !== body.room,
  );
}

/** What is sent in one request: operations of one name. */
export interface Batch {
  device: DeviceId;
  operations: SubmittedOperation[];
}

/** Gives numbers, and returns what is to be sent now. Until `settle`, each of them counts as possibly used. */
export function nextBatch(state: OutboxState): Batch {
  const { device } = state;
  for (const row of state.rows) {
    if (row.seq !== null) continue;
    row.device = device.device;
    row.seq = device.next;
    device.next += 1;
  }
  const batch: SubmittedOperation[] = [];
  let chars = 0;
  for (const row of unsaved(state)) {
    chars += JSON.stringify(row.body).length + 64;
    if (batch.length === SUBMIT_OPERATIONS_MAX || (batch.length > 0 && chars > BATCH_CHARS_MAX)) break;
    batch.push({ seq: row.seq, at: row.at, body: row.body });
    row.unanswered += 1;
    if (row.device === device.device) device.tried = Math.max(device.tried, row.seq);
  }
  return { device: unsaved(state)[0]?.device ?? device.device, operations: batch };
}

/** These requests were answered, or certainly not looked at: nothing of them is still on its way. */
export function settle(state: OutboxState, operations: readonly SubmittedOperation[]): void {
  const sent = new Set(operations.map(({ seq }) => seq));
  for (const row of unsaved(state)) {
    if (sent.has(row.seq)) row.unanswered = Math.max(0, row.unanswered - 1);
  }
}

/**
 * Of the oldest name that has some: what was written under an earlier name goes first, and under that name, since a node
 * may have it.
 */
function unsaved(state: OutboxState): (OutboxRow & { seq: Seq })[] {
  const open = state.rows.filter((row): row is OutboxRow & { seq: Seq } => row.seq !== null && !row.saved);
  return open.filter((row) => row.device === open[0]?.device).sort((a, b) => a.seq - b.seq);
}

/** Names that this browser had before, and that something here still waits under. */
export function earlierNames(own: DeviceId | null, rows: readonly Pick<OutboxRow, 'device' | 'seq'>[]): DeviceId[] {
  return [...new Set(rows.filter((row) => row.seq !== null && row.device !== own).map((row) => row.device))];
}

/** It is over, and its writer is to know. */
export function refuse(state: OutboxState, id: number, reason: string): void {
  const row = state.rows.find((other) => other.id === id);
  if (!row) return;
  state.rows = state.rows.filter((other) => other !== row);
  // That nobody can mark a room as read is nobody's concern.
  if (row.body.type === 'read.mark') return;
  const { account, at, body } = row;
  state.refused = [...state.refused, { id, account, at, body, reason }].slice(-REFUSED_LEN_MAX);
}

/**
 * What a box said to a batch. `stuck`: nothing came of it and sending again at once would not help either, as the box
 * misses numbers that are no longer held here (it is behind the core).
 */
export function takeAnswer(
  state: OutboxState,
  answer: SubmitAnswer,
  newName: DeviceId,
): { stuck: boolean } {
  const sent = new Map(unsaved(state).map((row) => [row.seq, row]));
  const refused: OutboxRow[] = [];
  let gap = false;
  for (const result of answer.results) {
    const row = sent.get(result.seq);
    if (!row) continue;
    if (result.state === 'saved' || result.state === 'duplicate') row.saved = true;
    else if (result.state === 'refused') {
      refused.push(row);
      refuse(state, row.id, result.reason ?? 'refused');
    } else gap = true;
  }
  if (refused.length > 0) {
    // A number is free only if every try of it was refused. Otherwise the rest goes on under another name.
    // So it does under an earlier name: its other numbers were in use.
    const earlier = answer.marks.device !== state.device.device;
    if (earlier || refused.some((row) => row.unanswered > 0)) renew(state, newName);
    else closeUp(state, refused);
  }
  takeSaved(state, answer.marks);
  if (gap) fallBack(state, answer.marks);
  const moved = answer.results.some((result) => result.state !== 'gap');
  const from = unsaved(state)[0]?.seq ?? 0;
  const reachesBack = from < (answer.results[0]?.seq ?? 0);
  return { stuck: !moved && !reachesBack };
}

/** A refused operation has no number in the log: its number, and those after it that no box has taken, are given anew. */
function closeUp(state: OutboxState, refused: readonly OutboxRow[]): void {
  const open = unsaved(state);
  const free = [...refused.map((row) => row.seq), ...open.map((row) => row.seq)].filter((seq) => seq !== null);
  let seq = Math.min(...free);
  for (const row of open) {
    row.seq = seq;
    seq += 1;
  }
  state.device.next = seq;
  state.device.tried = Math.min(state.device.tried, seq - 1);
}

/** What an answer says of this device. What is secured stays all the same: it may have been rejected, and the live stream says so. */
export function takeSaved(state: OutboxState, marks: DeviceMarks): void {
  for (const row of state.rows) {
    if (row.device === marks.device && row.seq !== null && row.seq <= marks.saved) row.saved = true;
  }
}

/** What the live stream says, after all verdicts up to there: what is secured need not be kept. True whichever node says it. */
export function takeMarks(state: OutboxState, marks: DeviceMarks): void {
  state.rows = state.rows.filter(
    (row) => row.device !== marks.device || row.seq === null || row.seq > marks.secured,
  );
  takeSaved(state, marks);
}

/**
 * The node that serves now holds less than the one before did: what it misses is sent to it, too. The other one may still
 * hold it, so its number counts as used.
 */
export function fallBack(state: OutboxState, marks: DeviceMarks): void {
  for (const row of state.rows) {
    if (row.device !== marks.device || row.seq === null || row.seq <= marks.saved || !row.saved) continue;
    row.saved = false;
    row.unanswered += 1;
  }
}

/** Whether somebody else numbers with this device's name: a browser profile that was copied, or put back from a backup. */
export function isForeign(state: OutboxState, marks: DeviceMarks): boolean {
  return marks.device === state.device.device && marks.saved > state.device.tried;
}

/** Begins a new device. What no box has saved is numbered anew. */
export function renew(state: OutboxState, device: DeviceId): void {
  const { account, at, since } = state.device;
  state.device = { ...newDevice(account, device), at, since };
  for (const row of state.rows) {
    if (row.saved) continue;
    row.seq = null;
    row.device = device;
    row.unanswered = 0;
  }
}

/** The core holds something else under this number (a copied profile): what was written here gets another one. */
export function writeAgain(state: OutboxState, id: number, device: DeviceId): void {
  for (const row of state.rows) {
    if (row.id === id) row.saved = false;
  }
  renew(state, device);
}
