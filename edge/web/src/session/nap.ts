/** A pause between two looks, that can be cut short. One at a time. */
export class Nap {
  private wake: (() => void) | null = null;

  /** @param random 0..1: so that not all browsers of a school look at the same moment */
  sleep(ms: number, random: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(wake, ms * (0.75 + 0.5 * random));
      this.wake = wake;
    });
  }

  end(): void {
    this.wake?.();
  }
}
