/**
 * Two video elements for one picture: a stream that takes another one's place is shown from a picture on that is not older
 * than what was shown before, and the other one until then.
 *
 * Two ways to the same camera are of different lengths, and each has a clock of its own (the RTP timestamp, RFC 3550 §5.1,
 * begins anywhere). What both have in common is the camera: on each way, the picture that was under way for the shortest
 * time tells when the camera took it, as near as the two ways are alike; the timestamps tell the rest.
 */

/** So many pictures of a new way tell how long it is: the first ones may all have been late. */
const TELLING = 8;
/** What a browser tells of none of so many, it tells of none. */
const BLIND = 3;
/** Ways differ by so much without a picture between; less than the time between two pictures. */
const SAME_MS = 10;
/** So long the one before may go on once the next one flows, in the hope that that catches up; then it stops where it is. */
const PATIENCE_MS = 300;
/** What has brought nothing for so long stands still: what came so long after is not older. */
const STALLED_MS = 250;
const STILL_LOOK_MS = 1_000;
/** What has not caught up by then with a picture that stands still is shown nevertheless. */
const STANDSTILL_MAX_MS = 500;
const TICKS_PER_MS = 90;

/** What a frame callback tells; only some browsers know of the timestamp and when it was received. */
export interface FrameTold {
  rtpTimestamp?: number;
  receiveTime?: number;
}

/** The part of a video element that is needed. */
export interface Screen {
  srcObject: MediaProvider | null;
  play(): Promise<void>;
  pause(): void;
  requestVideoFrameCallback?(told: (now: number, frame: FrameTold) => void): number;
  addEventListener(type: 'timeupdate', listener: () => void, options: { once: true }): void;
}

const isLive = ({ srcObject }: Screen) => srcObject instanceof MediaStream && srcObject.active;

/** How the timestamps of one way lie to the receiver's clock. */
export class Way {
  private first: number | null = null;
  private shortest = Infinity;
  private pictures = 0;
  private last = 0;
  /** When the last picture was drawn. */
  at = -Infinity;

  take(now: number, { rtpTimestamp, receiveTime }: FrameTold): void {
    this.at = now;
    this.pictures += 1;
    if (rtpTimestamp === undefined || receiveTime === undefined) return;
    this.first ??= rtpTimestamp;
    // Timestamps have 32 bits, and wrap.
    this.last = ((rtpTimestamp - this.first) | 0) / TICKS_PER_MS;
    this.shortest = Math.min(this.shortest, receiveTime - this.last);
  }

  /**
   * When the last picture would have been received after the shortest time under way. The fewer pictures that is taken
   * from, the later it may seem. Nothing: not even so many have come.
   */
  taken(least: number): number | null {
    return this.first !== null && this.pictures >= least ? this.last + this.shortest : null;
  }

  /** Nothing can be told by its pictures. */
  get blind(): boolean {
    return this.pictures >= BLIND && this.first === null;
  }
}

/** While one stream takes the other one's place. */
interface Change {
  before: Way;
  next: Way;
  /** The next one flows since then. */
  flowsSince: number | null;
  stoppedAt: number | null;
}

export class Twin {
  private front = 0;
  private showing = false;
  private change: Change | null = null;
  /** What was asked of an element for an earlier stream is void. */
  private round = 0;
  private deadline: ReturnType<typeof setTimeout> | undefined;

  /** @param shown the element of that index has a picture of the stream, and is the one to be seen */
  constructor(
    private readonly screens: readonly [Screen, Screen],
    private readonly shown: (index: number) => void,
  ) {}

  show(stream: MediaStream | null): void {
    const { change, front } = this;
    const [present, other] = [this.screens[front]!, this.screens[1 - front]!];
    const wanted = change ? other : present;
    if (stream && wanted.srcObject === stream) return;
    this.begin(null);
    if (!stream) {
      this.showing = false;
      present.srcObject = other.srcObject = null;
    } else if (present.srcObject === stream) {
      // Back to what is still shown, and may have been stopped.
      other.srcObject = null;
      present.play().catch(() => {});
      this.expect();
    } else if (this.showing) {
      this.begin({ before: new Way(), next: new Way(), flowsSince: null, stoppedAt: null });
      this.start(other, stream);
      this.follow(present, (now, frame) => {
        this.change?.before.take(now, frame);
        return this.change !== null;
      });
      this.follow(other, (now, frame) => !this.judge(now, frame));
    } else {
      this.start(present, stream);
      this.expect();
    }
  }

  /** Tells again with the next picture. */
  expect(): void {
    const { front } = this;
    this.follow(this.screens[front]!, () => {
      this.showing = true;
      this.shown(front);
      return false;
    });
  }

  close(): void {
    this.begin(null);
    for (const screen of this.screens) screen.srcObject = null;
  }

  private start(screen: Screen, stream: MediaStream): void {
    screen.srcObject = stream;
    screen.play().catch(() => {});
  }

  /** At each picture, for as long as that asks for more and the element is to show the same. */
  private follow(screen: Screen, told: (now: number, frame: FrameTold) => boolean): void {
    const { round } = this;
    const take = (now: number, frame: FrameTold) => {
      if (round === this.round && told(now, frame)) ask();
    };
    const ask = () => {
      if (screen.requestVideoFrameCallback) screen.requestVideoFrameCallback(take);
      else screen.addEventListener('timeupdate', () => take(performance.now(), {}), { once: true });
    };
    ask();
  }

  /** @returns whether the next stream is shown now */
  private judge(now: number, frame: FrameTold): boolean {
    const { change, front } = this;
    if (!change) return true;
    const present = this.screens[front]!;
    change.next.take(now, frame);
    if (change.next.taken(TELLING) !== null) change.flowsSince ??= now;
    if (isLive(present) && !this.catchesUp(change, now)) {
      if (change.stoppedAt === null && change.flowsSince !== null && now - change.flowsSince >= PATIENCE_MS) {
        change.stoppedAt = now;
        present.pause();
      }
      return false;
    }
    this.changeOver();
    return true;
  }

  private changeOver(): void {
    const { front } = this;
    this.begin(null);
    this.front = 1 - front;
    this.shown(this.front);
    this.screens[front]!.srcObject = null;
  }

  /** What was asked of the elements until now is void. */
  private begin(change: Change | null): void {
    this.round += 1;
    this.change = change;
    clearTimeout(this.deadline);
    if (change) this.watch(change);
  }

  /** Where nothing moves, as on a screen, no more pictures come that could tell that one has come. */
  private watch(change: Change): void {
    const began = performance.now();
    const look = () => {
      const still = performance.now() - Math.max(began, change.before.at) > STALLED_MS;
      if (still && change.next.at > began) this.changeOver();
      else this.deadline = setTimeout(look, STILL_LOOK_MS);
    };
    this.deadline = setTimeout(look, STILL_LOOK_MS);
  }

  private catchesUp({ before, next, stoppedAt }: Change, now: number): boolean {
    if (next.blind || (stoppedAt !== null && now - stoppedAt >= STANDSTILL_MAX_MS)) return true;
    const [shown, taken] = [before.taken(1), next.taken(TELLING)];
    // One that has brought nothing all the while stands still.
    return taken !== null && (shown === null || taken >= shown - SAME_MS);
  }
}
