/** A conference together with one's own devices: what the buttons of the page do. */
import { Cell, type Readable } from '../cell';
import type { Devices } from '../devices';
import type { Conference } from './conference';
import type { ConferenceState } from './types';

export interface Controls {
  microphone: boolean;
  camera: boolean;
  screen: boolean;
  hand: boolean;
  /** The screen as one's own page shows it. */
  screenTrack: MediaStreamTrack | null;
}

export class Call {
  private readonly cell: Cell<Controls>;
  private talking = false;
  private readonly unwatch: (() => void)[];
  /** What a moderator leaves to one, as last seen. */
  private free = { microphone: true, camera: true, screen: true };

  constructor(
    readonly conference: Conference,
    readonly devices: Devices,
  ) {
    const { microphone, camera } = devices.state.value;
    this.cell = new Cell<Controls>({
      microphone: microphone.on,
      camera: camera.on,
      screen: false,
      hand: false,
      screenTrack: null,
    });
    let first = true;
    const ownDevices = devices.state.subscribe(({ microphone, camera }) => {
      this.cell.update((now) => ({ ...now, microphone: microphone.on, camera: camera.on }));
      if (first) return;
      conference.setSource('microphone', microphone.track, microphone.on);
      conference.setSource('camera', camera.track, camera.on);
    });
    first = false;
    const room = conference.state.subscribe((state) => this.obey(state));
    this.unwatch = [ownDevices, room];
  }

  get controls(): Readable<Controls> {
    return this.cell;
  }

  /** Ends when the conference is over. */
  async run(): Promise<void> {
    const { microphone, camera } = this.devices.state.value;
    await this.conference.run(
      { microphone: microphone.track, camera: camera.track, screen: null },
      { microphone: microphone.on, camera: camera.on, screen: false },
    );
    this.release();
  }

  leave(): void {
    this.conference.leave();
    this.release();
  }

  /** What a moderator takes away is off here too: nobody is heard or seen again without wanting it. */
  private obey({ people, hand }: ConferenceState): void {
    this.cell.update((now) => (now.hand === hand ? now : { ...now, hand }));
    const me = people.find((person) => person.me);
    if (!me) return;
    const before = this.free;
    this.free = { ...me.may, microphone: me.may.microphone && !me.muted };
    const { microphone, camera, screen } = this.free;
    if (before.microphone && !microphone) {
      this.talking = false;
      void this.devices.setMicrophone(false, false);
    }
    if (before.camera && !camera) void this.devices.setCamera(false, false);
    if (before.screen && !screen) this.stopScreen();
  }

  /** @returns whether one may be heard now */
  private speakable(): boolean {
    const me = this.conference.state.value.people.find((person) => person.me);
    if (me && !me.may.microphone) return false;
    if (me?.muted) this.conference.unmute();
    return true;
  }

  async toggleMicrophone(): Promise<void> {
    this.talking = false;
    if (!this.cell.value.microphone && !this.speakable()) return;
    await this.devices.setMicrophone(!this.cell.value.microphone);
  }

  async toggleCamera(): Promise<void> {
    if (!this.cell.value.camera && !this.free.camera) return;
    await this.devices.setCamera(!this.cell.value.camera);
  }

  /** Heard for as long as the key is down, if the microphone was off. */
  pushToTalk(down: boolean): void {
    if (down && !this.cell.value.microphone && this.speakable()) {
      this.talking = true;
      void this.devices.setMicrophone(true, false);
    } else if (!down && this.talking) {
      this.talking = false;
      void this.devices.setMicrophone(false, false);
    }
  }

  toggleHand(): void {
    const hand = !this.cell.value.hand;
    this.conference.setHand(hand);
  }

  /** @returns false if the person chose nothing, or it is not possible here */
  async toggleScreen(): Promise<boolean> {
    if (this.cell.value.screenTrack) {
      this.stopScreen();
      return true;
    }
    if (!this.free.screen) return false;
    const track = await this.devices.captureScreen();
    if (!track) return false;
    track.onended = () => this.stopScreen();
    this.cell.update((now) => ({ ...now, screen: true, screenTrack: track }));
    this.conference.setSource('screen', track, true);
    return true;
  }

  private stopScreen(): void {
    const { screenTrack } = this.cell.value;
    if (!screenTrack) return;
    screenTrack.onended = null;
    screenTrack.stop();
    this.cell.update((now) => ({ ...now, screen: false, screenTrack: null }));
    this.conference.setSource('screen', null, false);
  }

  private release(): void {
    for (const unwatch of this.unwatch) unwatch();
    this.cell.value.screenTrack?.stop();
    this.devices.close();
  }
}
