/** The box over HTTP. Errors are `application/problem+json` (RFC 9457); what is not an answer at all is `Unreachable`. */
import type {
  BlobHash,
  Body,
  ConferenceId,
  ConferenceView,
  Day,
  DayLoad,
  DeviceId,
  DeviceMarks,
  ExamId,
  ExamKind,
  ExamsView,
  FileKind,
  GroupId,
  GroupView,
  ImportDone,
  ImportPlan,
  ImportView,
  LogIndex,
  MessageView,
  Page,
  PasswordRequest,
  PersonView,
  Problem,
  RoomId,
  RoomView,
  ScreenView,
  SessionView,
  SubmitAnswer,
  SubmitRequest,
  TicketAnswer,
  TimetableDraft,
  TimetableView,
  UploadAnswer,
  UploadProgress,
  UploadRequest,
  WatchView,
  WeekView,
} from './types';

/** Longer than the slowest answer of a healthy box (a login takes a password hash); then the box counts as gone. */
const TIMEOUT_MS = 12_000;

/** The box or node answered, and the answer is no. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.title}`);
    this.name = 'ProblemError';
  }
}

/** No answer: no way there, too slow, or something in between answered. */
export class Unreachable extends Error {
  constructor(cause?: unknown) {
    super('unreachable', { cause });
    this.name = 'Unreachable';
  }
}

/** Whether trying again later may help without anything else being changed. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof Unreachable || (error instanceof ProblemError && error.problem.status >= 500);
}

export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

/** A piece of a file on a thin line. */
const PIECE_TIMEOUT_MS = 60_000;
/** A list of 20,000 people on a thin line, read and compared with the school. */
const LIST_TIMEOUT_MS = 120_000;
/** Compared again, a password for each new account, and all of it saved. */
const APPLY_TIMEOUT_MS = 300_000;

/** One JSON request with a time limit; throws `ProblemError` or `Unreachable`, nothing else. */
export async function requestJson<T>(
  fetch: Fetch,
  url: string,
  init: {
    method: 'GET' | 'POST' | 'PUT';
    body?: unknown;
    /** Sent as it is, in place of a body of JSON. */
    bytes?: Blob;
    credentials: RequestCredentials;
    headers?: Record<string, string>;
    timeoutMs?: number | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<T> {
  const limit = AbortSignal.timeout(init.timeoutMs ?? TIMEOUT_MS);
  const headers: Record<string, string> = { accept: 'application/json', ...init.headers };
  if (init.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: init.method,
      headers,
      credentials: init.credentials,
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
      signal: init.signal ? AbortSignal.any([limit, init.signal]) : limit,
      ...(init.bytes ? { body: init.bytes } : {}),
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
    });
    text = await response.text();
  } catch (cause) {
    throw new Unreachable(cause);
  }
  if (!response.ok) throw new ProblemError(problemOf(response, text));
  if (text === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new Unreachable(cause);
  }
}

function problemOf(response: Response, text: string): Problem {
  if (response.headers.get('content-type')?.includes('json')) {
    try {
      const parsed = JSON.parse(text) as Partial<Problem>;
      if (typeof parsed.code === 'string') {
        return { title: '', ...parsed, code: parsed.code, status: response.status };
      }
    } catch {
      // Falls through: an answer of something in between.
    }
  }
  return { code: `http-${response.status}`, status: response.status, title: response.statusText };
}

/** How a request is made, beside its address. */
export interface Manner {
  timeoutMs?: number | undefined;
  /** Gives it up: the answer, if there was one, is not known. */
  signal?: AbortSignal | undefined;
}

export class BoxClient {
  private readonly fetch: Fetch;

  /**
   * @param base address of the box or gateway without a slash at the end; empty: the page's own origin
   * @param pass what shows who asks, where no cookie does (`wire::pass`)
   */
  constructor(
    readonly base = '',
    fetch?: Fetch,
    private readonly pass: (() => string) | null = null,
    private readonly manner: Manner = {},
  ) {
    this.fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** The same door, with requests that can be given up or are less patient. */
  with(manner: Manner): BoxClient {
    return new BoxClient(this.base, this.fetch, this.pass, { ...this.manner, ...manner });
  }

  /** WebSocket subprotocols: they carry the pass, as a WebSocket has no headers of its own. */
  get subprotocols(): string[] {
    return this.pass ? ['schulhof', `bearer.${this.pass()}`] : [];
  }

  private ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    return requestJson(this.fetch, this.base + path, {
      method,
      body,
      credentials: this.credentials,
      headers: this.authority,
      ...this.manner,
    });
  }

  private get credentials(): RequestCredentials {
    return this.pass ? 'omit' : 'same-origin';
  }

  private get authority(): Record<string, string> {
    return this.pass ? { authorization: `Bearer ${this.pass()}` } : {};
  }

  private get<T>(path: string): Promise<T> {
    return this.ask('GET', path);
  }

  private post<T>(path: string, body?: unknown): Promise<T> {
    return this.ask('POST', path, body);
  }

  login(login: string, password: string): Promise<SessionView> {
    return this.post('/api/login', { login, password });
  }

  logout(): Promise<void> {
    return this.post('/api/logout');
  }

  session(): Promise<SessionView> {
    return this.get('/api/session');
  }

  /** The own one. A cookie's session goes on with a new cookie; all others of the account end. */
  password(request: PasswordRequest): Promise<void> {
    return this.post('/api/password', request);
  }

  /** What the list would change. @param role of rows without a role of their own */
  planImport(list: Blob, role: 'pupil' | 'teacher'): Promise<ImportPlan> {
    return requestJson(this.fetch, `${this.base}/api/imports?role=${role}`, {
      method: 'POST',
      bytes: list,
      credentials: this.credentials,
      headers: { ...this.authority, 'content-type': 'application/octet-stream' },
      ...this.manner,
      timeoutMs: LIST_TIMEOUT_MS,
    });
  }

  applyImport(name: DeviceId): Promise<ImportDone> {
    return this.with({ timeoutMs: APPLY_TIMEOUT_MS }).post(`/api/imports/${name}/apply`);
  }

  imports(): Promise<ImportView[]> {
    return this.get('/api/imports');
  }

  undoImport(name: DeviceId): Promise<void> {
    return this.post(`/api/imports/${name}/undo`);
  }

  exams(from: Day, until: Day): Promise<ExamsView> {
    return this.get(`/api/exams?from=${from}&until=${until}`);
  }

  /** How full days are for those in the groups. `except` is an exam that is to be moved. */
  examLoad(groups: readonly GroupId[], kind: ExamKind, [from, until]: [Day, Day], except: ExamId | null): Promise<DayLoad[]> {
    const query = new URLSearchParams({ groups: groups.join(','), kind, from, until, ...(except !== null && { except }) });
    return this.get(`/api/exams/load?${query}`);
  }

  /** What there is to look at in the week of a day. */
  timetable(week: Day): Promise<TimetableView> {
    return this.get(`/api/timetable?week=${week}`);
  }

  week(week: Day, of: 'own' | 'class' | 'teacher' | 'room', name: string): Promise<WeekView> {
    return this.get(`/api/timetable/week?${new URLSearchParams(of === 'own' ? { week } : { week, of, name })}`);
  }

  /** What a file of a timetable program would change. */
  draftTimetable(file: Blob, kind: FileKind, from: Day): Promise<TimetableDraft> {
    return requestJson(this.fetch, `${this.base}/api/timetable/imports?kind=${kind}&from=${from}`, {
      method: 'POST',
      bytes: file,
      credentials: this.credentials,
      headers: { ...this.authority, 'content-type': 'application/octet-stream' },
      ...this.manner,
      timeoutMs: LIST_TIMEOUT_MS,
    });
  }

  watchedTimetable(): Promise<WatchView> {
    return this.get('/api/timetable/watch');
  }

  applyTimetable(name: DeviceId): Promise<void> {
    return this.with({ timeoutMs: LIST_TIMEOUT_MS }).post(`/api/timetable/imports/${name}/apply`);
  }

  /** What the lobby may see, for who knows the secret. */
  screen(secret: string, day: Day): Promise<ScreenView> {
    return this.get(`/api/screen/${secret}?day=${day}`);
  }

  people(): Promise<PersonView[]> {
    return this.get('/api/people');
  }

  groups(): Promise<GroupView[]> {
    return this.get('/api/groups');
  }

  rooms(): Promise<RoomView[]> {
    return this.get('/api/rooms');
  }

  messages(room: RoomId, before: LogIndex | null, limit: number): Promise<Page<MessageView>> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (before !== null) query.set('before', String(before));
    return this.get(`/api/rooms/${room}/messages?${query}`);
  }

  conference(conference: ConferenceId): Promise<ConferenceView> {
    return this.get(`/api/conferences/${conference}`);
  }

  ticket(conference: ConferenceId): Promise<TicketAnswer> {
    return this.post(`/api/conferences/${conference}/ticket`);
  }

  submit(request: SubmitRequest<Body>): Promise<SubmitAnswer> {
    return this.post('/api/operations', request);
  }

  beginUpload(request: UploadRequest): Promise<UploadAnswer> {
    return this.post('/api/blobs', request);
  }

  putPiece(upload: BlobHash, offset: number, bytes: Blob): Promise<UploadProgress> {
    return requestJson(this.fetch, `${this.base}/api/blobs/${upload}?offset=${offset}`, {
      method: 'PUT',
      bytes,
      credentials: this.credentials,
      headers: this.authority,
      timeoutMs: PIECE_TIMEOUT_MS,
    });
  }

  /** Where a file is that a message of the room names; null if the address alone does not show who asks. */
  fileUrl(room: RoomId, hash: BlobHash): string | null {
    return this.pass ? null : `${this.base}/api/rooms/${room}/blobs/${hash}`;
  }

  /** The file's bytes. */
  async file(room: RoomId, hash: BlobHash): Promise<Blob> {
    let response: Response;
    try {
      response = await this.fetch(`${this.base}/api/rooms/${room}/blobs/${hash}`, {
        credentials: this.credentials,
        headers: this.authority,
        referrerPolicy: 'no-referrer',
      });
      if (response.ok) return await response.blob();
    } catch (cause) {
      throw new Unreachable(cause);
    }
    throw new ProblemError(problemOf(response, await response.text().catch(() => '')));
  }

  device(device: DeviceId): Promise<DeviceMarks> {
    return this.get(`/api/devices/${device}`);
  }
}
