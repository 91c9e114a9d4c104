/** A value that can be watched: the store contract of Svelte (`$cell` works in components), without Svelte. */
export interface Readable<T> {
  readonly value: T;
  subscribe(watch: (value: T) => void): () => void;
}

export class Cell<T> implements Readable<T> {
  private readonly watchers = new Set<(value: T) => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    for (const watch of [...this.watchers]) watch(value);
  }

  update(change: (value: T) => T): void {
    this.set(change(this.current));
  }

  subscribe(watch: (value: T) => void): () => void {
    this.watchers.add(watch);
    watch(this.current);
    return () => this.watchers.delete(watch);
  }
}
