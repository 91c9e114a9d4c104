/**
 * Which pictures are in the window and how large, told to the node: what nobody sees is not sent, and what is small is
 * sent small.
 */
import type { Wanted } from '../../session/conference/types';

/** Layouts change in many small steps; the node is told the outcome. */
const SETTLE_MS = 150;
/** Layers have three sizes: a few pixels more or less are no news. */
const HEIGHT_STEP_PX = 30;

interface Watched {
  wanted: Omit<Wanted, 'height'>;
  main: boolean;
  visible: boolean;
}

export class Seen {
  private readonly elements = new Map<Element, Watched>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly inWindow = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const watched = this.elements.get(target);
      if (watched) watched.visible = isIntersecting;
    }
    this.settle();
  });
  private readonly sizes = new ResizeObserver(() => this.settle());

  constructor(private readonly tell: (wanted: Wanted[]) => void) {}

  /** For as long as the element is there and its picture is one that somebody sends. */
  watch(element: Element, wanted: Omit<Wanted, 'height'>, main: boolean): () => void {
    this.elements.set(element, { wanted, main, visible: false });
    this.inWindow.observe(element);
    this.sizes.observe(element);
    return () => {
      this.elements.delete(element);
      this.inWindow.unobserve(element);
      this.sizes.unobserve(element);
      this.settle();
    };
  }

  close(): void {
    clearTimeout(this.timer);
    this.inWindow.disconnect();
    this.sizes.disconnect();
  }

  private settle(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.report(), SETTLE_MS);
  }

  private report(): void {
    const seen = [...this.elements].filter(([, watched]) => watched.visible);
    const list = seen.map(([element, { wanted, main }]) => {
      const pixels = element.clientHeight * window.devicePixelRatio;
      const height = Math.min(4_320, Math.ceil(pixels / HEIGHT_STEP_PX) * HEIGHT_STEP_PX);
      return { tile: { ...wanted, height }, rank: main ? 2 : wanted.kind === 'screen' ? 1 : 0 };
    });
    list.sort((a, b) => b.rank - a.rank);
    this.tell(list.map(({ tile }) => tile));
  }
}
