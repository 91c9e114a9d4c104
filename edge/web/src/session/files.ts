/**
 * Files on their way to a message: hashed in the browser, uploaded in pieces to whichever node serves, gone on with after
 * a cut line or a change of node. A message may name a file once its upload is whole.
 */
import { isUnreachable, ProblemError, type Attachment, type BoxClient } from '../protocol';

/** `blob::BLOB_LEN_MAX` */
export const FILE_LEN_MAX = 100 * 1024 * 1024;
/** `op::ATTACHMENTS_MAX` */
export const FILES_MAX = 10;
/** `op::NAME_LEN_MAX` */
const NAME_LEN_MAX = 120;
/** Read and hashed at once; then the page may breathe. */
const SLICE_LEN = 1 << 20;
/** After an answer that did not come: so long, doubled up to the maximum. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

export type Ask = <T>(question: (box: BoxClient) => Promise<T>) => Promise<T>;

/** BLAKE3 of a file, in hexadecimal. The code for it is loaded when the first file is chosen. */
export async function hashOf(file: Blob, signal: AbortSignal): Promise<string> {
  const { blake3 } = await import('@noble/hashes/blake3.js');
  const hasher = blake3.create({});
  for (let at = 0; at < file.size; at += SLICE_LEN) {
    hasher.update(new Uint8Array(await file.slice(at, at + SLICE_LEN).arrayBuffer()));
    signal.throwIfAborted();
  }
  return [...hasher.digest()].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Name and type as the rules take them: no folders, no control characters, not too long, its ending kept. */
export function described(file: { name: string; type: string; size: number }, hash: string): Attachment {
  const name = file.name.replace(/[/\\\p{Cc}]/gu, '_').trim() || '_';
  const ending = /\.[^.]{1,10}$/.exec(name)?.[0] ?? '';
  const chars = [...name];
  const short = chars.length <= NAME_LEN_MAX ? name : chars.slice(0, NAME_LEN_MAX - [...ending].length).join('') + ending;
  const type = file.type.split(';')[0]!.trim().toLowerCase();
  const mime = /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/.test(type) ? type : 'application/octet-stream';
  return { hash, name: short, mime, size: file.size };
}

/** Brings a file to the node that serves; resolves when it is whole there. `told` gets the share that is there, 0 to 1. */
export async function upload(
  ask: Ask,
  file: Blob,
  hash: string,
  signal: AbortSignal,
  told: (share: number) => void,
  pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
): Promise<void> {
  let wait = RETRY_MIN_MS;
  for (;;) {
    signal.throwIfAborted();
    try {
      const { chunk_len, have } = await ask((box) => box.beginUpload({ size: file.size, hash }));
      let at = have;
      told(at / file.size);
      while (at < file.size) {
        signal.throwIfAborted();
        const piece = file.slice(at, at + chunk_len);
        const from = at;
        at = (await ask((box) => box.putPiece(hash, from, piece))).have;
        told(at / file.size);
        wait = RETRY_MIN_MS;
      }
      return;
    } catch (error) {
      // 404 and 409: the node serves now that has less of it, or another tab was faster. Asking anew tells where to go on.
      const again = isUnreachable(error) || (error instanceof ProblemError && [404, 409].includes(error.problem.status));
      if (!again) throw error;
      await pause(wait);
      wait = Math.min(wait * 2, RETRY_MAX_MS);
    }
  }
}
