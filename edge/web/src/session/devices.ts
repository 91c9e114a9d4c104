/**
 * Microphone, camera and loudspeaker: asking, choosing, remembering. A denied or missing camera never blocks anything;
 * it is a state that the page shows.
 */
import { Cell, type Readable } from './cell';
import type { PreferenceStore } from './preferences';

export type DeviceStatus =
  /** Not asked yet, or switched off. */
  | 'off'
  | 'asking'
  | 'on'
  | 'denied'
  | 'missing'
  /** In use by another program, or broken. */
  | 'failed'
  /** The page was not opened over https: browsers give no devices then. */
  | 'insecure';

export interface DeviceState {
  status: DeviceStatus;
  /** Whether others are to hear or see it. */
  on: boolean;
  track: MediaStreamTrack | null;
  choices: readonly MediaDeviceInfo[];
  chosen: string | null;
}

export interface DevicesState {
  microphone: DeviceState;
  camera: DeviceState;
  speakers: readonly MediaDeviceInfo[];
  speaker: string | null;
}

type Kind = 'microphone' | 'camera';

const EMPTY: DeviceState = { status: 'off', on: false, track: null, choices: [], chosen: null };

export class Devices {
  private readonly cell: Cell<DevicesState>;
  private closed = false;
  private readonly refresh = () => void this.list();

  constructor(
    private readonly preferences: PreferenceStore,
    /** None without a secure context. */
    private readonly media: MediaDevices | undefined = globalThis.navigator?.mediaDevices as MediaDevices | undefined,
  ) {
    const { microphone, camera, speaker } = preferences.current.value;
    this.cell = new Cell<DevicesState>({
      microphone: { ...EMPTY, chosen: microphone.device },
      camera: { ...EMPTY, chosen: camera.device },
      speakers: [],
      speaker,
    });
    media?.addEventListener?.('devicechange', this.refresh);
  }

  get state(): Readable<DevicesState> {
    return this.cell;
  }

  /** Opens what was on last time: one question for both, where the browser asks. */
  async start(): Promise<void> {
    const { microphone, camera } = this.preferences.current.value;
    if (!this.media) {
      this.patch('microphone', { status: 'insecure' });
      this.patch('camera', { status: 'insecure' });
      return;
    }
    if (microphone.on && camera.on) {
      this.patch('microphone', { status: 'asking' });
      this.patch('camera', { status: 'asking' });
      const both = await this.media
        .getUserMedia({ audio: this.wish('microphone'), video: this.wish('camera') })
        .catch(() => null);
      if (both) {
        this.put('microphone', both.getAudioTracks()[0] ?? null);
        this.put('camera', both.getVideoTracks()[0] ?? null);
        await this.list();
        return;
      }
    }
    // One of them may be missing: each by itself.
    if (microphone.on) await this.setMicrophone(true, false);
    if (camera.on) await this.setCamera(true, false);
    await this.list();
  }

  /** The microphone stays open while it is off, so that it is on again at once; nothing of it leaves the browser. */
  async setMicrophone(on: boolean, remember = true): Promise<void> {
    if (remember) this.remember('microphone', { on });
    const { track } = this.cell.value.microphone;
    if (on && !track) {
      await this.open('microphone');
      return;
    }
    if (track) track.enabled = on;
    this.patch('microphone', { on: on && track !== null });
  }

  /** A camera that is off is given back: its light goes out. */
  async setCamera(on: boolean, remember = true): Promise<void> {
    if (remember) this.remember('camera', { on });
    if (on) {
      if (!this.cell.value.camera.track) await this.open('camera');
      return;
    }
    this.cell.value.camera.track?.stop();
    this.patch('camera', { status: 'off', on: false, track: null });
  }

  async choose(kind: Kind, device: string): Promise<void> {
    this.remember(kind, { device });
    this.patch(kind, { chosen: device });
    const { on, track } = this.cell.value[kind];
    if (!track) return;
    await this.open(kind, track);
    if (kind === 'microphone' && !on) await this.setMicrophone(false, false);
  }

  chooseSpeaker(device: string): void {
    this.preferences.set({ speaker: device });
    this.cell.update((state) => ({ ...state, speaker: device }));
  }

  async captureScreen(): Promise<MediaStreamTrack | null> {
    const stream = await this.media
      ?.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false })
      .catch(() => null);
    const track = stream?.getVideoTracks()[0] ?? null;
    if (track) track.contentHint = 'detail';
    return track;
  }

  /** Gives all devices back. */
  close(): void {
    this.closed = true;
    this.media?.removeEventListener?.('devicechange', this.refresh);
    const { microphone, camera } = this.cell.value;
    for (const { track } of [microphone, camera]) {
      if (track) track.onended = null;
      track?.stop();
    }
  }

  private async open(kind: Kind, instead?: MediaStreamTrack): Promise<void> {
    if (!this.media) {
      this.patch(kind, { status: 'insecure' });
      return;
    }
    this.patch(kind, { status: 'asking' });
    try {
      const wish = kind === 'microphone' ? { audio: this.wish(kind) } : { video: this.wish(kind) };
      const stream = await this.media.getUserMedia(wish);
      this.put(kind, stream.getTracks()[0] ?? null);
      instead?.stop();
      await this.list();
    } catch (error) {
      if (instead) {
        // The other device did not open: the one before goes on.
        this.patch(kind, { status: 'on' });
        return;
      }
      this.patch(kind, { status: statusOf(error), on: false, track: null });
    }
  }

  private wish(kind: Kind): MediaTrackConstraints {
    const { chosen } = this.cell.value[kind];
    const device = chosen === null ? {} : { deviceId: { ideal: chosen } };
    return kind === 'microphone'
      ? { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true }
      : { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 24, max: 30 } };
  }

  private put(kind: Kind, track: MediaStreamTrack | null): void {
    if (this.closed) {
      track?.stop();
      return;
    }
    if (track) {
      track.onended = () => this.patch(kind, { status: 'missing', on: false, track: null });
    }
    const chosen = track?.getSettings().deviceId ?? this.cell.value[kind].chosen;
    this.patch(kind, { status: track ? 'on' : 'missing', on: track !== null, track, chosen });
  }

  private async list(): Promise<void> {
    const all = (await this.media?.enumerateDevices().catch(() => [])) ?? [];
    // Without permission browsers give devices without names.
    const of = (kind: MediaDeviceKind) => all.filter((device) => device.kind === kind && device.deviceId !== '');
    this.patch('microphone', { choices: of('audioinput') });
    this.patch('camera', { choices: of('videoinput') });
    this.cell.update((state) => ({ ...state, speakers: of('audiooutput') }));
  }

  private remember(kind: Kind, change: { on?: boolean; device?: string }): void {
    this.preferences.set({ [kind]: { ...this.preferences.current.value[kind], ...change } });
  }

  private patch(kind: Kind, change: Partial<DeviceState>): void {
    if (this.closed) return;
    this.cell.update((state) => ({ ...state, [kind]: { ...state[kind], ...change } }));
  }
}

function statusOf(error: unknown): DeviceStatus {
  const name = error instanceof Error ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'missing';
  return 'failed';
}
