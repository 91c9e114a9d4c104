/**
 * Bringing the school's people in from a list: what it would change, changing it, and the first passwords.
 *
 * Passwords are in the answer to `apply` and nowhere else. When that answer gets lost, the list of imports tells whether
 * there was one: it is never applied a second time on a guess.
 */
import {
  isUnreachable,
  LIST_LEN_MAX,
  ProblemError,
  type BoxClient,
  type DeviceId,
  type FirstPassword,
  type ImportPlan,
  type ImportView,
} from '../protocol';
import { Cell, type Readable } from './cell';

export type ListRole = 'pupil' | 'teacher';

/** A file that was chosen. Its bytes are kept: what is applied is what was looked at, whatever happens to the file. */
export interface List {
  name: string;
  bytes: Blob;
  role: ListRole;
}

export type ImportState =
  | { at: 'choose'; error: unknown }
  | { at: 'reading'; name: string }
  /** Looked at. `outdated`: it is another one than was to be applied, as the school has changed. */
  | { at: 'plan'; list: List; plan: ImportPlan; outdated: boolean; error: unknown }
  | { at: 'applying'; list: List; plan: ImportPlan }
  | { at: 'done'; passwords: readonly FirstPassword[] }
  /** Applied, but the passwords did not arrive. */
  | { at: 'lost' }
  /** Perhaps applied: nobody answers who would know. */
  | { at: 'unsure'; list: List; plan: ImportPlan };

/** How the box is asked; `once`: never again elsewhere. */
export interface Door {
  ask<T>(question: (box: BoxClient) => Promise<T>): Promise<T>;
  once<T>(question: (box: BoxClient) => Promise<T>): Promise<T>;
}

export class Importing {
  private readonly cell = new Cell<ImportState>({ at: 'choose', error: null });
  /** Counts what was begun: an answer that nobody waits for any more changes nothing. */
  private turn = 0;

  constructor(private readonly door: Door) {}

  get state(): Readable<ImportState> {
    return this.cell;
  }

  /** Reads a file, and asks what it would change. */
  async choose(file: File, role: ListRole): Promise<void> {
    const turn = this.begin({ at: 'reading', name: file.name });
    if (file.size > LIST_LEN_MAX) return this.refuse('list-too-large');
    const bytes = await file.arrayBuffer().catch(() => null);
    if (turn !== this.turn) return;
    if (!bytes) return this.refuse('list-unreadable');
    await this.plan({ name: file.name, bytes: new Blob([bytes]), role }, turn, false);
  }

  /** Back to choosing a file. */
  restart(): void {
    this.begin({ at: 'choose', error: null });
  }

  async apply(): Promise<void> {
    const state = this.cell.value;
    if (state.at !== 'plan' || state.plan.problems.length > 0 || !changesAnything(state.plan)) return;
    const { list, plan } = state;
    const turn = this.begin({ at: 'applying', list, plan });
    try {
      const { passwords } = await this.door.once((box) => box.applyImport(plan.import));
      this.cell.set({ at: 'done', passwords });
    } catch (error) {
      if (isOutdated(error)) await this.plan(list, turn, true);
      else if (isUnreachable(error)) await this.lookUp(list, plan, error);
      else this.cell.set({ at: 'plan', list, plan, outdated: false, error });
    }
  }

  /** Whether the list was applied, after an answer that did not come. */
  async look(): Promise<void> {
    const state = this.cell.value;
    if (state.at === 'unsure') await this.lookUp(state.list, state.plan, null);
  }

  private async plan(list: List, turn: number, outdated: boolean): Promise<void> {
    let next: ImportState;
    try {
      const plan = await this.door.ask((box) => box.planImport(list.bytes, list.role));
      next = { at: 'plan', list, plan, outdated, error: null };
    } catch (error) {
      next = { at: 'choose', error };
    }
    if (turn === this.turn) this.cell.set(next);
  }

  private async lookUp(list: List, plan: ImportPlan, error: unknown): Promise<void> {
    try {
      const imports = await this.door.ask((box) => box.imports());
      const applied = imports.some((known) => known.import === plan.import);
      this.cell.set(applied ? { at: 'lost' } : { at: 'plan', list, plan, outdated: false, error });
    } catch {
      this.cell.set({ at: 'unsure', list, plan });
    }
  }

  private begin(state: ImportState): number {
    this.cell.set(state);
    return (this.turn += 1);
  }

  private refuse(code: string): void {
    this.cell.set({ at: 'choose', error: new ProblemError({ code, status: 422, title: '' }) });
  }
}

/** The imports that there were, and taking back the newest one. */
export class PastImports {
  private readonly cell = new Cell<readonly ImportView[] | null>(null);

  constructor(private readonly door: Door) {}

  /** Newest first; null until they are loaded. */
  get list(): Readable<readonly ImportView[] | null> {
    return this.cell;
  }

  async load(): Promise<void> {
    this.cell.set(await this.door.ask((box) => box.imports()));
  }

  /** Whatever the answer, the list is loaded anew: somebody else may have been faster, or an answer got lost. */
  async undo(name: DeviceId): Promise<void> {
    try {
      await this.door.once((box) => box.undoImport(name));
    } finally {
      await this.load().catch(() => {});
    }
  }
}

export function changesAnything({ new_people, changed, leavers, new_groups }: ImportPlan): boolean {
  return new_people.length + changed.length + leavers.length + new_groups.length > 0;
}

export interface SheetGroup {
  /** Null: people without a class. */
  name: string | null;
  sheets: FirstPassword[];
}

/** One sheet per person, by class as people count (`5a` before `10b`), who has none at the end; by name within. */
export function sheetsByClass(passwords: readonly FirstPassword[], locale: string): SheetGroup[] {
  const { compare } = new Intl.Collator(locale, { numeric: true });
  const groups = new Map<string | null, FirstPassword[]>();
  for (const sheet of passwords) {
    const name = [...sheet.classes].sort(compare)[0] ?? null;
    groups.set(name, [...(groups.get(name) ?? []), sheet]);
  }
  const sorted = [...groups].sort(([a], [b]) => (a === null ? 1 : b === null ? -1 : compare(a, b)));
  return sorted.map(([name, sheets]) => ({ name, sheets: sheets.sort((a, b) => compare(a.name, b.name)) }));
}

function isOutdated(error: unknown): boolean {
  return error instanceof ProblemError && ['plan-changed', 'unknown-import'].includes(error.problem.code);
}
