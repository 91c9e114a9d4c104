import { describe, expect, it } from 'vitest';
import { ProblemError, Unreachable, type BoxClient } from '../src/protocol';
import { described, hashOf, upload, type Ask } from '../src/session/files';

const never = new AbortController().signal;

/** A node that takes pieces of three bytes. */
function node(pieces: string[] = []) {
  const state = { have: '', failures: [] as unknown[], asked: 0 };
  const box = {
    beginUpload: () => Promise.resolve({ upload: 'h', chunk_len: 3, have: state.have.length }),
    putPiece: async (_: string, offset: number, bytes: Blob) => {
      const failure = state.failures.shift();
      if (failure) throw failure;
      if (offset !== state.have.length) throw problem(409);
      const piece = await bytes.text();
      pieces.push(piece);
      state.have += piece;
      return { have: state.have.length };
    },
  };
  const ask: Ask = (question) => {
    state.asked += 1;
    return question(box as unknown as BoxClient);
  };
  return { state, ask, pieces };
}

const problem = (status: number) => new ProblemError({ code: 'x', status, title: '' });
const at_once = () => Promise.resolve();

describe('a file that is uploaded', () => {
  it('goes in pieces, from where the node has it', async () => {
    const { state, ask, pieces } = node();
    state.have = 'abc';
    const told: number[] = [];
    await upload(ask, new Blob(['abcdefgh']), 'h', never, (share) => told.push(share), at_once);
    expect(pieces).toEqual(['def', 'gh']);
    expect(told).toEqual([3 / 8, 6 / 8, 1]);
  });

  it('goes on after a cut line, and after another node took over that has less', async () => {
    const { state, ask } = node();
    state.failures = [new Unreachable(), problem(503), problem(404), problem(409)];
    await upload(ask, new Blob(['abcdefgh']), 'h', never, () => {}, at_once);
    expect(state.have).toBe('abcdefgh');
  });

  it('ends with what the node says for good', async () => {
    const { state, ask } = node();
    state.failures = [problem(422)];
    await expect(upload(ask, new Blob(['abc']), 'h', never, () => {}, at_once)).rejects.toThrow('422');
  });

  it('ends when it is taken back', async () => {
    const abort = new AbortController();
    const { ask, state } = node();
    abort.abort();
    await expect(upload(ask, new Blob(['abc']), 'h', abort.signal, () => {}, at_once)).rejects.toThrow();
    expect(state.asked).toBe(0);
  });
});

describe('what is said of a file', () => {
  it('is its BLAKE3, as the specification has it for these lengths', async () => {
    // Test vectors of the BLAKE3 specification: bytes 0 to 250, again and again.
    const input = (length: number) => new Blob([Uint8Array.from({ length }, (_, n) => n % 251)]);
    expect(await hashOf(input(0), never)).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
    expect(await hashOf(input(1), never)).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213');
    expect(await hashOf(input(1024), never)).toBe('42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7');
  });

  it('has no folders, no control characters and at most 120 characters, and keeps its ending', () => {
    const of = (name: string, type = '') => described({ name, type, size: 1 }, 'h');
    expect(of('../a\\b\u0007.pdf').name).toBe('.._a_b_.pdf');
    const long = of(`${'ü'.repeat(200)}.docx`).name;
    expect([...long]).toHaveLength(120);
    expect(long.endsWith('.docx')).toBe(true);
    expect(of('a', 'Text/HTML; charset=utf-8').mime).toBe('text/html');
    expect(of('a', 'nonsense').mime).toBe('application/octet-stream');
  });
});
