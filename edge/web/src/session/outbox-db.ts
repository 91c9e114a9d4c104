/** Where operations are kept until they are secured: IndexedDB, or (no IndexedDB, no Web Locks) the memory of one tab. */
import { openDatabase, type Database } from './database';
import { newDevice, type OutboxState } from './outbox-rules';
import { randomName } from './random';

export interface OutboxDb {
  /** Runs one change on an account's state; nobody else, in no other tab, changes it meanwhile. `change` must not wait. */
  transact<T>(account: string, change: (state: OutboxState) => T): Promise<T>;
  close(): void;
}

/** Marks a row that is not in the database yet: it gets its key there. */
export const NEW_ROW = 0;

export async function openOutboxDb(name?: string): Promise<OutboxDb> {
  return new IndexedOutbox(await openDatabase(name));
}

class IndexedOutbox implements OutboxDb {
  constructor(private readonly db: Database) {}

  async transact<T>(account: string, change: (state: OutboxState) => T): Promise<T> {
    const tx = this.db.transaction(['devices', 'operations', 'refused'], 'readwrite', { durability: 'strict' });
    const devices = tx.objectStore('devices');
    const operations = tx.objectStore('operations');
    const refusals = tx.objectStore('refused');
    const device = (await devices.get(account)) ?? newDevice(account, randomName());
    const rows = await operations.index('account').getAll(account);
    const refused = await refusals.index('account').getAll(account);
    const before = new Map(rows.map((row) => [row.id, JSON.stringify(row)]));
    const refusedBefore = new Set(refused.map(({ id }) => id));
    const state: OutboxState = { device, rows, refused };
    let result: T;
    try {
      result = change(state);
    } catch (error) {
      tx.abort();
      await tx.done.catch(() => {});
      throw error;
    }
    const writes: Promise<unknown>[] = [devices.put(state.device)];
    for (const row of state.rows) {
      if (row.id === NEW_ROW) {
        const { id: _, ...fresh } = row;
        writes.push(operations.add(fresh as typeof row).then((id) => (row.id = id)));
      } else if (before.get(row.id) !== JSON.stringify(row)) {
        writes.push(operations.put(row));
      }
      before.delete(row.id);
    }
    for (const gone of before.keys()) writes.push(operations.delete(gone));
    for (const row of state.refused) {
      if (!refusedBefore.delete(row.id)) writes.push(refusals.put(row));
    }
    for (const gone of refusedBefore) writes.push(refusals.delete(gone));
    await Promise.all([...writes, tx.done]);
    return result;
  }

  close(): void {
    this.db.close();
  }
}

/** For one tab and as long as it lives. */
export class MemoryOutbox implements OutboxDb {
  private readonly states = new Map<string, OutboxState>();
  private lastId = 0;

  transact<T>(account: string, change: (state: OutboxState) => T): Promise<T> {
    const state = structuredClone(
      this.states.get(account) ?? { device: newDevice(account, randomName()), rows: [], refused: [] },
    );
    const result = change(state);
    for (const row of state.rows) {
      if (row.id === NEW_ROW) row.id = this.lastId += 1;
    }
    this.states.set(account, structuredClone(state));
    return Promise.resolve(result);
  }

  close(): void {
    this.states.clear();
  }
}
