/** Where the rows of a long list stand, though only those in the window exist: measured heights, else estimates. */

/** Rows above and below the window that exist too, in pixels: scrolling must not show a gap. */
const OVERSCAN_PX = 600;

export interface Range {
  start: number;
  end: number;
  /** Height of everything before `start`. */
  before: number;
}

export class Heights {
  private keys: readonly string[] = [];
  private readonly index = new Map<string, number>();
  private readonly measured = new Map<string, number>();
  /** Offset of each row, and the total at the end. Made when it is asked for. */
  private sums: Float64Array | null = null;

  constructor(private readonly estimatePx: number) {}

  setKeys(keys: readonly string[]): void {
    this.keys = keys;
    this.index.clear();
    keys.forEach((key, i) => this.index.set(key, i));
    this.sums = null;
  }

  /** @returns whether anything moved */
  measure(key: string, height: number): boolean {
    if (height === 0 || this.measured.get(key) === height) return false;
    this.measured.set(key, height);
    this.sums = null;
    return true;
  }

  get total(): number {
    return this.offsets()[this.keys.length] ?? 0;
  }

  offsetOf(key: string): number | null {
    const i = this.index.get(key);
    return i === undefined ? null : (this.offsets()[i] ?? null);
  }

  range(top: number, viewport: number): Range {
    if (this.keys.length === 0) return { start: 0, end: 0, before: 0 };
    const start = this.indexAt(top - OVERSCAN_PX);
    const end = this.indexAt(top + viewport + OVERSCAN_PX) + 1;
    return { start, end, before: this.offsets()[start] ?? 0 };
  }

  /** The row at a height; the last one below the end. */
  indexAt(y: number): number {
    const sums = this.offsets();
    let low = 0;
    let high = Math.max(0, this.keys.length - 1);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((sums[middle] ?? 0) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private offsets(): Float64Array {
    if (this.sums) return this.sums;
    const sums = new Float64Array(this.keys.length + 1);
    this.keys.forEach((key, i) => {
      sums[i + 1] = (sums[i] ?? 0) + (this.measured.get(key) ?? this.estimatePx);
    });
    return (this.sums = sums);
  }
}
