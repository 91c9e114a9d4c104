/**
 * The pass with which this browser is known at the cloud gateway (`wire::pass`), kept beside the outbox so that the page
 * can be opened while the box is dead. One at a time: the box's cookie is one person's, too.
 */
import type { AccountId, SchoolId, SessionView } from '../protocol';
import { openDatabase } from './database';

export interface KeptPass {
  /** Whose: `school:account`. */
  account: string;
  school: SchoolId;
  /** Of the gateway, without a slash at the end. */
  url: string;
  pass: string;
}

/** In the place of an account: somebody signed out while the box could not be told. */
const SIGNED_OUT = '';

export interface Passes {
  /** The last one that was kept. */
  get(): Promise<KeptPass | null>;
  /** Instead of any other. */
  keep(pass: KeptPass): Promise<void>;
  forget(): Promise<void>;
  /** Forgets, and remembers that the box's session is still to be ended. */
  leave(): Promise<void>;
  /** Whether it is. */
  left(): Promise<boolean>;
}

export function keptPass(view: SessionView): KeptPass | null {
  if (!view.gateway) return null;
  const { url, pass } = view.gateway;
  return { account: accountKey(view), school: view.school, url, pass };
}

export function accountKey(view: { school: SchoolId; account: AccountId }): string {
  return `${view.school}:${view.account}`;
}

/** How long from its making to its end, in ms; null if it cannot be read. The device's own clock may be wrong by days. */
export function lifetimeMs(pass: string): number | null {
  try {
    const [claims = ''] = pass.split('.');
    const text = atob(claims.replaceAll('-', '+').replaceAll('_', '/'));
    const { issued_ms, expires_ms } = JSON.parse(text) as { issued_ms?: unknown; expires_ms?: unknown };
    if (typeof issued_ms !== 'number' || typeof expires_ms !== 'number' || expires_ms <= issued_ms) return null;
    return expires_ms - issued_ms;
  } catch {
    return null;
  }
}

/** In IndexedDB, or for as long as the page lives. */
export async function openPasses(): Promise<Passes> {
  const db = await openDatabase().catch(() => null);
  if (!db) return new MemoryPasses();
  const replace = async (row: KeptPass | null) => {
    const tx = db.transaction('passes', 'readwrite');
    await tx.store.clear();
    if (row) await tx.store.put(row);
    await tx.done;
  };
  return {
    get: async () => (await db.getAll('passes')).find(({ account }) => account !== SIGNED_OUT) ?? null,
    keep: replace,
    forget: () => replace(null),
    leave: () => replace({ account: SIGNED_OUT, school: '', url: '', pass: '' }),
    left: async () => (await db.get('passes', SIGNED_OUT)) !== undefined,
  };
}

export class MemoryPasses implements Passes {
  private kept: KeptPass | null = null;
  private gone = false;

  get(): Promise<KeptPass | null> {
    return Promise.resolve(this.kept);
  }

  keep(pass: KeptPass): Promise<void> {
    return this.put(pass, false);
  }

  forget(): Promise<void> {
    return this.put(null, false);
  }

  leave(): Promise<void> {
    return this.put(null, true);
  }

  left(): Promise<boolean> {
    return Promise.resolve(this.gone);
  }

  private put(pass: KeptPass | null, gone: boolean): Promise<void> {
    this.kept = pass;
    this.gone = gone;
    return Promise.resolve();
  }
}
