/** What an error says of the operations that were sent. */
import { isUnreachable, ProblemError } from '../protocol';

/** The box answered without looking at the operations: none of them can have been saved. */
export function unlooked(error: unknown): boolean {
  return error instanceof ProblemError && error.problem.status < 500;
}

/** The stable code, if the same request can never succeed; null if it is worth another try. */
export function malformed(error: unknown): string | null {
  if (!(error instanceof ProblemError) || isUnreachable(error)) return null;
  const { status, code } = error.problem;
  // Not the box's own words: something in between answered, and may not do so the next time.
  if (code.startsWith('http-')) return null;
  return status === 400 || status === 413 || status === 415 || status === 422 ? code : null;
}
