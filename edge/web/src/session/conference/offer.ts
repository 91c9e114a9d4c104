/**
 * The one offer of a join, in the order of `wire::media`: microphone, camera with three layers, screen, then the slots.
 * Nothing is negotiated later: sources are put in and taken out with `replaceTrack`, slots are re-mapped by the node.
 */
import type { Claims } from '../../protocol';
import type { Local } from './types';

/** Layers of the camera (RFC 8853), least first. 150 kbit/s carries 180 lines, 1.5 Mbit/s 720. */
const CAMERA_LAYERS: RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
];
/** Text must be readable: resolution before frame rate. */
const SCREEN_LAYERS: RTCRtpEncodingParameters[] = [{ maxBitrate: 2_500_000, maxFramerate: 15 }];
/** Speech; the default of 32 kbit/s and more is for music. */
const VOICE_LAYERS: RTCRtpEncodingParameters[] = [{ maxBitrate: 32_000 }];

/** More slots than this are not offered, whatever a ticket says. */
const SLOTS_MAX = 25;

export interface Transceivers {
  microphone: RTCRtpTransceiver;
  camera: RTCRtpTransceiver;
  screen: RTCRtpTransceiver;
  audio: RTCRtpTransceiver[];
  video: RTCRtpTransceiver[];
}

export function addTransceivers(peer: RTCPeerConnection, local: Local, claims: Claims): Transceivers {
  const send = (track: MediaStreamTrack | null, kind: 'audio' | 'video', layers: RTCRtpEncodingParameters[]) =>
    peer.addTransceiver(track ?? kind, { direction: 'sendonly', sendEncodings: layers });
  const slots = (kind: 'audio' | 'video', count: number) =>
    Array.from({ length: Math.min(count, SLOTS_MAX) }, () => peer.addTransceiver(kind, { direction: 'recvonly' }));
  return {
    microphone: send(local.microphone, 'audio', VOICE_LAYERS),
    camera: send(local.camera, 'video', CAMERA_LAYERS),
    screen: send(local.screen, 'video', SCREEN_LAYERS),
    audio: slots('audio', claims.audio_slots),
    video: slots('video', claims.video_slots),
  };
}

/**
 * Browsers repeat lost pictures only; where voices are received they are to be asked for too (RFC 4585): on a line that
 * loses, words stay whole.
 */
export function askForLostVoice(sdp: string): string {
  const [session = '', ...media] = sdp.split(/^(?=m=)/m);
  return session + media.map((line) => (/^m=audio/.test(line) && /^a=recvonly\r?$/m.test(line) ? withNack(line) : line)).join('');
}

function withNack(line: string): string {
  const opus = /^a=rtpmap:(\d+) opus\/48000\/2\r?$/im.exec(line);
  if (!opus || new RegExp(`^a=rtcp-fb:${opus[1]} nack\\r?$`, 'm').test(line)) return line;
  return line.replace(opus[0], `${opus[0].trimEnd()}\r\na=rtcp-fb:${opus[1]} nack\r`);
}
