/** What the page changes in the browser's own offer. */
import { describe, expect, it } from 'vitest';
import { askForLostVoice } from '../src/session/conference/offer';

const line = (kind: string, direction: string, codec: string) =>
  `m=${kind} 9 UDP/TLS/RTP/SAVPF 63 111\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:111 ${codec}\r\na=rtcp-fb:111 transport-cc\r\na=${direction}\r\n`;

describe('the offer', () => {
  it('asks for lost packets of received voices, and changes nothing else', () => {
    const session = 'v=0\r\ns=-\r\n';
    const sent = line('audio', 'sendonly', 'opus/48000/2');
    const received = line('audio', 'recvonly', 'opus/48000/2');
    const video = line('video', 'recvonly', 'VP8/90000');
    const asked = askForLostVoice(session + sent + received + video);
    expect(asked).toBe(session + sent + received.replace('opus/48000/2\r\n', 'opus/48000/2\r\na=rtcp-fb:111 nack\r\n') + video);
    expect(askForLostVoice(asked)).toBe(asked);
    expect(askForLostVoice('')).toBe('');
  });
});
