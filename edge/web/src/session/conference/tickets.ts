/** The ticket of a conference: asked for, waited for in the queue, kept for as long as it may be good, and renewed. */
import type { Claims, MediaNode, TicketAnswer } from '../../protocol';

/** After so many failures in a row the box is asked for a new ticket: nodes may have been placed anew. */
const FAILURES_PER_TICKET = 3;
/** The box may be what is gone: a known ticket is not held up longer by it. */
const PATIENCE_MS = 3_000;
/** Of a queue's time; the box jitters it already. */
const QUEUE_WAIT_MIN_MS = 500;

export interface Granted {
  ticket: string;
  claims: Claims;
}

/** The ticket's node that is not this one. */
export function otherNode({ primary, standby }: Claims, node: MediaNode): MediaNode | null {
  return node.name === primary.name ? standby : primary;
}

export interface TicketsOptions {
  ask: () => Promise<TicketAnswer>;
  wait: (ms: number) => Promise<void>;
  /** Waits after so many failures. */
  pause: (failures: number) => Promise<void>;
  onQueued: (position: number) => void;
  /** The conference was left, or cannot be joined. */
  isOver: () => boolean;
  /** @returns whether no other try will change it */
  isHopeless: (error: unknown) => boolean;
}

export class Tickets {
  granted: Granted | null = null;

  constructor(private readonly options: TicketsOptions) {}

  /** Gets a ticket when there is none that may still be good. @returns nothing when the conference cannot be joined */
  async have(failures: number): Promise<Granted | null> {
    if (this.granted && (failures === 0 || failures % FAILURES_PER_TICKET !== 0)) return this.granted;
    const { isOver, isHopeless, onQueued, pause, wait } = this.options;
    for (let tries = 1; !isOver(); tries += 1) {
      let answer: TicketAnswer | null;
      try {
        answer = await this.ask();
      } catch (error) {
        if (isHopeless(error)) return null;
        if (this.granted) return this.granted;
        await pause(tries);
        continue;
      }
      if (answer?.type === 'granted') this.granted = answer;
      if (this.granted) return this.granted;
      if (answer?.type !== 'queued') continue;
      onQueued(answer.position);
      await wait(Math.max(answer.retry_after_ms, QUEUE_WAIT_MIN_MS));
    }
    return null;
  }

  /** Another one, for a person who is in the conference: nothing goes wrong without it. */
  async renew(): Promise<Granted | null> {
    const answer = await this.ask().catch(() => null);
    if (answer?.type === 'granted') this.granted = answer;
    return this.granted;
  }

  /** @returns nothing: a known ticket is not held up longer */
  private async ask(): Promise<TicketAnswer | null> {
    const asking = this.options.ask();
    if (!this.granted) return asking;
    const late = this.options.wait(PATIENCE_MS).then(() => null);
    const first = await Promise.race([asking, late]);
    if (first === null) asking.catch(() => {});
    return first;
  }
}
