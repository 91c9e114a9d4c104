/** Bringing a timetable in from a file: what it would change, and changing it. */
import { LIST_LEN_MAX, ProblemError, type Day, type FileKind, type TimetableDraft } from '../protocol';
import { Cell, type Readable } from './cell';
import type { Door } from './imports';

export type DraftState =
  | { at: 'choose'; error: unknown }
  | { at: 'reading'; name: string }
  | { at: 'draft'; name: string; draft: TimetableDraft; error: unknown }
  | { at: 'applying'; name: string; draft: TimetableDraft };

export class Drafting {
  private readonly cell = new Cell<DraftState>({ at: 'choose', error: null });
  /** Counts what was begun: an answer that nobody waits for any more changes nothing. */
  private turn = 0;

  constructor(private readonly door: Door) {}

  get state(): Readable<DraftState> {
    return this.cell;
  }

  async choose(file: File, kind: FileKind, from: Day): Promise<void> {
    const turn = (this.turn += 1);
    this.cell.set({ at: 'reading', name: file.name });
    let next: DraftState;
    try {
      if (file.size > LIST_LEN_MAX) throw new ProblemError({ code: 'list-too-large', status: 422, title: '' });
      const bytes = await file.arrayBuffer().catch(() => {
        throw new ProblemError({ code: 'list-unreadable', status: 422, title: '' });
      });
      const draft = await this.door.ask((box) => box.draftTimetable(new Blob([bytes]), kind, from));
      next = { at: 'draft', name: file.name, draft, error: null };
    } catch (error) {
      next = { at: 'choose', error };
    }
    if (turn === this.turn) this.cell.set(next);
  }

  restart(): void {
    this.turn += 1;
    this.cell.set({ at: 'choose', error: null });
  }

  /** Whether it is in force now. A lost answer is no harm: the same file again then changes nothing. */
  async apply(): Promise<boolean> {
    const state = this.cell.value;
    if (state.at !== 'draft' || state.draft.problems.length > 0) return false;
    const { name, draft } = state;
    this.cell.set({ at: 'applying', name, draft });
    try {
      await this.door.once((box) => box.applyTimetable(draft.import));
      this.restart();
      return true;
    } catch (error) {
      this.cell.set({ at: 'draft', name, draft, error });
      return false;
    }
  }
}
