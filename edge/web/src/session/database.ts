/** The one database of this origin in this browser: what is kept from one visit to the next. */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { DeviceRow, OutboxRow, RefusedRow } from './outbox-rules';
import type { KeptPass } from './passes';

export interface Schema extends DBSchema {
  devices: { key: string; value: DeviceRow };
  operations: { key: number; value: OutboxRow; indexes: { account: string } };
  /** Since version 2. */
  refused: { key: number; value: RefusedRow; indexes: { account: string } };
  passes: { key: string; value: KeptPass };
}

export type Database = IDBPDatabase<Schema>;

export function openDatabase(name = 'schulhof'): Promise<Database> {
  return openDB<Schema>(name, 2, {
    upgrade(db, from) {
      if (from < 1) {
        db.createObjectStore('devices', { keyPath: 'account' });
        const operations = db.createObjectStore('operations', { keyPath: 'id', autoIncrement: true });
        operations.createIndex('account', 'account');
      }
      if (from < 2) {
        db.createObjectStore('refused', { keyPath: 'id' }).createIndex('account', 'account');
        db.createObjectStore('passes', { keyPath: 'account' });
      }
    },
    blocking: (_from, _to, event) => (event.target as IDBDatabase).close(),
  });
}
