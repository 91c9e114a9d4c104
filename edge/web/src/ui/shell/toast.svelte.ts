/** One short message at a time, at the edge of the window. */
const SHOWN_MS = 6_000;

class Toast {
  message = $state('');
  private timer: ReturnType<typeof setTimeout> | undefined;

  show(message: string): void {
    this.message = message;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.message = ''), SHOWN_MS);
  }

  hide(): void {
    clearTimeout(this.timer);
    this.message = '';
  }
}

export const toast = new Toast();
