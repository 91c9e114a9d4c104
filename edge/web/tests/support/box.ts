/**
 * A box as the outbox sees it, where Anna is signed in: numbers per device, rules that refuse, an answer that gets lost,
 * a core that secures.
 */
import { ProblemError, Unreachable, type DeviceMarks, type Submission, type SubmitAnswer } from '../../src/protocol';

export class FakeBox {
  /** What the box holds, per device, in order of the numbers. */
  readonly log = new Map<string, Submission['operations']>();
  secured = new Map<string, number>();
  reachable = true;
  /** The next so many answers get lost after the box has done its work. */
  loseAnswers = 0;
  refuse: (text: string) => string | null = () => null;
  /** What submissions are answered with instead. */
  problem: ProblemError | null = null;
  submissions = 0;

  marks(device: string): DeviceMarks {
    return { device, saved: this.log.get(device)?.length ?? 0, secured: this.secured.get(device) ?? 0 };
  }

  device(device: string): Promise<DeviceMarks> {
    return this.reachable ? Promise.resolve(this.marks(device)) : Promise.reject(new Unreachable());
  }

  submit(request: Submission): Promise<SubmitAnswer> {
    this.submissions += 1;
    if (!this.reachable) return Promise.reject(new Unreachable());
    if (this.problem) return Promise.reject(this.problem);
    if (request.account !== 'anna') {
      return Promise.reject(new ProblemError({ code: 'other-account', status: 401, title: '' }));
    }
    const log = this.log.get(request.device) ?? [];
    this.log.set(request.device, log);
    const results = request.operations.map((operation): SubmitAnswer['results'][number] => {
      const { seq, body } = operation;
      if (seq <= log.length) return { seq, state: 'duplicate' };
      if (seq > log.length + 1) return { seq, state: 'gap' };
      const reason = this.refuse('text' in body ? body.text : '');
      if (reason) return { seq, state: 'refused', reason };
      log.push(operation);
      return { seq, state: 'saved' };
    });
    if (this.loseAnswers > 0) {
      this.loseAnswers -= 1;
      return Promise.reject(new Unreachable());
    }
    return Promise.resolve({ results, marks: this.marks(request.device) });
  }

  secureAll(): void {
    for (const [device, log] of this.log) this.secured.set(device, log.length);
  }

  /** The texts of all messages, with their numbers, over all devices. */
  get texts(): string[] {
    return [...this.log.values()].flatMap((log) => log.map(({ body }) => ('text' in body ? body.text : body.type)));
  }

  get numbers(): number[] {
    return [...this.log.values()].flatMap((log) => log.map(({ seq }) => seq));
  }
}

/** Web Locks of one browser: who asks first owns first. */
export class FakeLocks {
  private readonly queue: (() => void)[] = [];
  private held = false;

  own = async (_name: string, signal: AbortSignal, whileOwned: () => Promise<void>): Promise<void> => {
    if (this.held) await new Promise<void>((resolve) => this.queue.push(resolve));
    if (signal.aborted) {
      this.queue.shift()?.();
      return;
    }
    this.held = true;
    await whileOwned();
    this.held = false;
    this.queue.shift()?.();
  };
}

/** BroadcastChannel of one browser. */
export class FakeChannels {
  private readonly all = new Set<{ onpost: (() => void) | null }>();

  open() {
    const channel = {
      onpost: null as (() => void) | null,
      post: () => {
        for (const other of this.all) if (other !== channel) queueMicrotask(() => other.onpost?.());
      },
      close: () => this.all.delete(channel),
    };
    this.all.add(channel);
    return channel;
  }
}

export async function until(holds: () => boolean, what = 'the condition'): Promise<void> {
  const end = Date.now() + 3_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
