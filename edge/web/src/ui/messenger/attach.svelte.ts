/** The files that somebody has chosen for the next message of a room, and how far each has come. */
import { FILE_LEN_MAX, FILES_MAX } from '../../session/files';
import type { School } from '../../session/school';
import type { Attachment } from '../../protocol';

export interface Chosen {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  /** Share that is uploaded, 0 to 1. */
  share: number;
  done: Attachment | null;
  error: unknown;
}

export class Attach {
  chosen = $state<Chosen[]>([]);
  private readonly aborts = new Map<number, AbortController>();
  private next = 1;

  constructor(private readonly school: Pick<School, 'upload'>) {}

  get ready(): boolean {
    return this.chosen.every((file) => file.done !== null);
  }

  get attachments(): Attachment[] {
    return this.chosen.flatMap((file) => (file.done ? [$state.snapshot(file.done)] : []));
  }

  /** Begins uploading. Gives why not all were taken, if so. */
  add(files: Iterable<File>): 'tooMany' | 'tooLarge' | 'emptyFile' | null {
    let refused: 'tooMany' | 'tooLarge' | 'emptyFile' | null = null;
    for (const file of files) {
      if (this.chosen.length >= FILES_MAX) refused = 'tooMany';
      else if (file.size > FILE_LEN_MAX) refused = 'tooLarge';
      else if (file.size === 0) refused = 'emptyFile';
      else void this.bring(file);
    }
    return refused;
  }

  private async bring(file: File): Promise<void> {
    const id = this.next++;
    const abort = new AbortController();
    this.aborts.set(id, abort);
    this.chosen.push({ id, name: file.name, size: file.size, share: 0, done: null, error: null });
    const change = (change: Partial<Chosen>) => {
      const at = this.chosen.find((chosen) => chosen.id === id);
      if (at) Object.assign(at, change);
    };
    try {
      const done = await this.school.upload(file, abort.signal, (share) => change({ share }));
      change({ done, share: 1 });
    } catch (error) {
      if (!abort.signal.aborted) change({ error });
    }
  }

  remove(id: number): void {
    this.aborts.get(id)?.abort();
    this.aborts.delete(id);
    this.chosen = this.chosen.filter((file) => file.id !== id);
  }

  /** They went with a message. */
  clear(): void {
    this.chosen = [];
    this.aborts.clear();
  }

  /** The room is left: what is under way ends. */
  close(): void {
    for (const abort of this.aborts.values()) abort.abort();
  }
}
