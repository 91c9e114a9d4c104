/**
 * The connection that stands by at the ticket's other node: offer, ICE and DTLS are done, nothing is sent, nobody there sees
 * one. When the node in use dies, one word on it replaces a whole join.
 */
import type { Link } from './link';

/** A class that has just come in, or just fled from a dead node, does not knock at the next one all at once. */
const FIRST_MIN_MS = 2_000;
const FIRST_SPREAD_MS = 4_000;
/** A standby that cannot be had (full, out of reach, dead) is asked for ever more rarely. */
const AGAIN_MIN_MS = 5_000;
const AGAIN_MAX_MS = 60_000;
/** One that lasted this long was a good one: the next is sought as soon as the first. */
const STEADY_MS = 30_000;

export interface SpareOptions {
  /** It is ready now, or is no more. */
  onChange: () => void;
  now: () => number;
  random: () => number;
  wait: (ms: number) => Promise<void>;
}

export class Spare {
  private link: Link | null = null;
  private ready = false;
  /** What an earlier round began ends when it sees that it is not the present one. */
  private round = 0;

  constructor(private readonly options: SpareOptions) {}

  get current(): Link | null {
    return this.ready && this.link && !this.link.isOver ? this.link : null;
  }

  /** Keeps one from now on, in place of any other. */
  seek(make: (onLost: () => void) => Link): void {
    this.drop();
    void this.keep(make, this.round);
  }

  private async keep(make: (onLost: () => void) => Link, round: number): Promise<void> {
    let failures = 0;
    let wait = FIRST_MIN_MS + FIRST_SPREAD_MS * this.options.random();
    for (;;) {
      await this.options.wait(wait);
      if (round !== this.round) return;
      const since = this.options.now();
      let lost = () => {};
      const over = new Promise<void>((resolve) => (lost = resolve));
      const link = make(lost);
      this.link = link;
      const opened = await link.open().then(
        () => true,
        () => false,
      );
      if (round !== this.round) return;
      if (opened && !link.isOver) {
        this.become(true);
        await over;
        if (round !== this.round) return;
      }
      link.close();
      this.link = null;
      if (this.ready) this.become(false);
      const lasted = this.options.now() - since >= STEADY_MS;
      failures = lasted ? 0 : failures + 1;
      wait = lasted ? FIRST_MIN_MS + FIRST_SPREAD_MS * this.options.random() : this.again(failures);
    }
  }

  private again(failures: number): number {
    const ceiling = Math.min(AGAIN_MAX_MS, AGAIN_MIN_MS * 2 ** Math.min(failures - 1, 10));
    return ceiling * (0.5 + 0.5 * this.options.random());
  }

  private become(ready: boolean): void {
    this.ready = ready;
    this.options.onChange();
  }

  /** Hands it over to be used, if there is one. Another one is sought with the next `seek`. */
  take(): Link | null {
    const link = this.current;
    if (!link) return null;
    this.round += 1;
    this.link = null;
    this.ready = false;
    return link;
  }

  drop(): void {
    this.round += 1;
    this.link?.close();
    this.link = null;
    this.ready = false;
  }
}
