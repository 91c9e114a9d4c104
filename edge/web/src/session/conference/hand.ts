/** One's own raised hand, which this page, the node and a moderator all have a say in. */
import type { Person } from './types';

export class Hand {
  raised = false;
  /** The present node has shown it raised: if it is down then, a moderator has lowered it. */
  private shown = false;
  /** The present node has said whether it knows the hand from before. */
  private known = false;

  set(raised: boolean): void {
    this.raised = raised;
    this.shown = false;
  }

  /** On another connection. */
  joined(): void {
    this.shown = this.known = false;
  }

  /** A page that was loaded anew takes the hand over from the node; a moderator may lower it. */
  follow(me: Person | undefined): void {
    if (!me) return;
    const raised = me.hand !== null;
    if (!this.known) this.raised ||= raised;
    else if (this.shown && !raised) this.raised = false;
    this.known = true;
    this.shown = raised && this.raised;
  }
}
