// Made from the Rust types of shared/wire and shared/school: do not edit.
// `UPDATE_TYPES=1 cargo test -p schulhof-web` writes it anew.

/**
 * A school, such as `nord`. Comes from a certificate or a session, never from a request.
 */
export type SchoolId = string;

/**
 * A person's account.
 */
export type AccountId = string;

/**
 * A class, course or other group.
 */
export type GroupId = string;

/**
 * A messenger room.
 */
export type RoomId = string;

/**
 * A video conference; also the name of its room on a media node.
 */
export type ConferenceId = string;

/**
 * An exam in the exam plan.
 */
export type ExamId = string;

/**
 * What numbers operations without gaps: a browser profile of one account, a door, an import.
 */
export type DeviceId = string;

/**
 * A core node, relay or box, such as `core-1`.
 */
export type NodeName = string;

/**
 * Place of an entry in its school's log, from 1. The only number that a client is ever shown.
 */
export type LogIndex = number;

/**
 * A device's own number of an operation, from 1, without gaps.
 */
export type Seq = number;

/**
 * Hybrid logical clock (Kulkarni et al. 2014): milliseconds since 1970 in the upper bits, a counter in the lower 10.
 * Fits a JavaScript number until the year 2248. For showing and sorting by eye; the order of truth is [`LogIndex`].
 */
export type Hlc = number;

/**
 * BLAKE3 of bytes; in text 64 hexadecimal digits, lower case.
 */
export type BlobHash = string;

export type Role = "pupil" | "teacher" | "admin";

export type GroupKind = "class" | "course" | "staff";

/**
 * A file that a message brings along. Its bytes are a blob, which the core keeps before it orders the message.
 */
export type Attachment = { 
/**
 * BLAKE3 of the bytes.
 */
hash: BlobHash, 
/**
 * As the sender's machine called it, without folders.
 */
name: string, 
/**
 * Media type (RFC 6838) without parameters, lower case; what the sender says, and not to be trusted.
 */
mime: string, 
/**
 * Bytes.
 */
size: number, };

/**
 * What an import changes about one person or group.
 */
export type PeopleChange = { "type": "account", account: AccountId, source: DeviceId, record: string, login: string, name: string, role: Role, 
/**
 * argon2id hash in PHC form.
 */
password: string, } | { "type": "name", account: AccountId, name: string, } | { "type": "role", account: AccountId, role: Role, } | { "type": "lock", account: AccountId, locked: boolean, } | { "type": "group", group: GroupId, name: string, kind: GroupKind, } | { "type": "members", group: GroupId, add: Array<AccountId>, remove: Array<AccountId>, };

/**
 * Days since 1 January 1970.
 */
export type Day = string;

/**
 * In which weeks a lesson is held.
 */
export type Weeks = "all" | "a" | "b";

/**
 * One lesson of a week.
 */
export type Lesson = { 
/**
 * 1 is Monday, 7 Sunday.
 */
day: number, period: number, 
/**
 * The program's number of the lesson; 0 if it has none.
 */
number: number, classes: Array<string>, teachers: Array<string>, subject: string, rooms: Array<string>, weeks: Weeks, 
/**
 * If it is not held during the whole plan.
 */
from: Day | null, until: Day | null, };

/**
 * From when to when a period is.
 */
export type Period = { period: number, 
/**
 * Minutes since midnight.
 */
from: number, to: number, };

/**
 * What holds for the timetable of the whole school.
 */
export type Settings = { 
/**
 * Pupils do not see who teaches.
 */
teachers_hidden: boolean, 
/**
 * Some day in an A week; the weeks alternate. None: the school has no A and B weeks.
 */
week_a: Day | null, 
/**
 * In order; none: periods have numbers only.
 */
periods: Array<Period>, };

/**
 * What happens to a lesson. The words for it are the page's.
 */
export type ChangeKind = "substitution" | "cancelled" | "supervision" | "special" | "moved_away" | "moved_here" | "swap" | "released" | "partial" | "room" | "break_duty" | "teacher_swap" | "exam" | "no_lesson";

/**
 * One substitution.
 */
export type Substitution = { day: Day, period: number, 
/**
 * The program's number of it, and of the lesson that it means; 0: none.
 */
number: number, lesson: number, kind: ChangeKind, classes: Array<string>, 
/**
 * Who would have taught, and who does.
 */
absent: string, teacher: string, subject: string, new_subject: string, rooms: Array<string>, new_rooms: Array<string>, text: string, };

/**
 * A duty of each week.
 */
export type Duty = { 
/**
 * 1 is Monday.
 */
day: number, 
/**
 * The period before which the break is.
 */
before: number, area: string, teacher: string, };

/**
 * A piece of an import.
 */
export type Item = { "type": "lesson" } & Lesson | { "type": "change" } & Substitution | { "type": "duty" } & Duty;

/**
 * What the parts of an import are together.
 */
export type Scope = { "type": "plan", from: Day, until: Day | null, } | { "type": "changes", from: Day, } | { "type": "duties" };

/**
 * What kind of exam. Which kinds count is the school's to say.
 */
export type ExamKind = "written" | "test" | "oral" | "practical";

/**
 * An exam as it was planned.
 */
export type Exam = { kind: ExamKind, subject: string, day: Day, 
/**
 * First and last period.
 */
from: number, to: number, 
/**
 * Classes and courses that write it.
 */
groups: Array<GroupId>, 
/**
 * May be empty.
 */
room: string, };

/**
 * What happens when somebody would have more exams than the school wants.
 */
export type ExamOver = "warn" | "refuse";

/**
 * Days on which nobody writes.
 */
export type ExamBlocked = { from: Day, until: Day, why: string, };

/**
 * What the school has decided about exams.
 */
export type ExamRules = { 
/**
 * Kinds that count.
 */
counted: Array<ExamKind>, 
/**
 * Most that count, for each class, course and pupil; none: as many as wanted.
 */
day_max: number | null, week_max: number | null, over: ExamOver, 
/**
 * Refused in either case.
 */
blocked: Array<ExamBlocked>, 
/**
 * Teachers who may change others' exams, and plan for classes that are not theirs.
 */
editors: Array<AccountId>, };

/**
 * What is done. New kinds are added, old ones never change their meaning.
 */
export type Body = { "type": "school.name", name: string, } | { "type": "account.create", account: AccountId, login: string, name: string, role: Role, password: string, } | { "type": "account.password", account: AccountId, password: string, } | { "type": "account.lock", account: AccountId, locked: boolean, } | { "type": "import.part", import: DeviceId, part: number, changes: Array<PeopleChange>, } | { "type": "import.apply", import: DeviceId, parts: number, } | { "type": "import.undo", import: DeviceId, } | { "type": "group.create", group: GroupId, name: string, kind: GroupKind, } | { "type": "group.members", group: GroupId, add: Array<AccountId>, remove: Array<AccountId>, } | { "type": "room.create", room: RoomId, name: string, members: Array<AccountId>, } | { "type": "room.members", room: RoomId, add: Array<AccountId>, remove: Array<AccountId>, } | { "type": "room.direct", with: AccountId, } | { "type": "message.post", room: RoomId, 
/**
 * May be empty if something is attached.
 */
text: string, 
/**
 * Not written when there are none: operations from before keep their bytes.
 */
attachments?: Array<Attachment>, } | { "type": "read.mark", room: RoomId, upto: LogIndex, } | { "type": "conference.open", conference: ConferenceId, room: RoomId, title: string, expected: number | null, } | { "type": "conference.close", conference: ConferenceId, } | { "type": "timetable.settings", settings: Settings, } | { "type": "timetable.part", import: DeviceId, part: number, items: Array<Item>, } | { "type": "timetable.apply", import: DeviceId, parts: number, scope: Scope, } | { "type": "timetable.remove", plan: DeviceId, } | { "type": "timetable.teacher", short: string, account: AccountId | null, } | { "type": "timetable.day", day: Day, text: string, } | { "type": "timetable.screen", key: BlobHash | null, } | { "type": "timetable.watch", on: boolean, } | { "type": "timetable.edit", plan: DeviceId, remove: Array<Lesson>, add: Array<Lesson>, } | { "type": "timetable.change", remove: Array<Substitution>, add: Array<Substitution>, } | { "type": "exam.rules", rules: ExamRules, } | { "type": "exam.plan", exam: ExamId, plan: Exam, } | { "type": "exam.change", exam: ExamId, plan: Exam, } | { "type": "exam.cancel", exam: ExamId, };

export type RoomKind = "group" | "free" | "direct";

/**
 * A person as others may see it.
 */
export type PersonView = { account: AccountId, name: string, role: Role, 
/**
 * Classes and courses.
 */
groups: Array<GroupId>, 
/**
 * Whether the asking account may write a direct message.
 */
may_write: boolean, };

export type GroupView = { group: GroupId, name: string, kind: GroupKind, };

export type RoomView = { room: RoomId, kind: RoomKind, 
/**
 * For a direct room: the other person's name.
 */
name: string, members: number, 
/**
 * For a direct room: the other person.
 */
with: AccountId | null, unread: number, 
/**
 * Own read mark.
 */
read_upto: LogIndex, last: MessageView | null, may_write: boolean, may_open_conference: boolean, 
/**
 * Running conferences of the room.
 */
conferences: Array<ConferenceView>, };

export type MessageView = { room: RoomId, 
/**
 * Identity: `(device, seq)`.
 */
device: DeviceId, seq: Seq, 
/**
 * Null until secured in the cloud.
 */
index: LogIndex | null, author: AccountId, author_name: string, text: string, at: Hlc, attachments?: Array<Attachment>, };

export type ConferenceView = { conference: ConferenceId, room: RoomId, room_name: string, title: string, opened_by: AccountId, opened_by_name: string, at: Hlc, open: boolean, 
/**
 * People that places are reserved for.
 */
expected: number, 
/**
 * Whether the asking account may close it (and moderates it).
 */
may_close: boolean, };

export type ExamView = { exam: ExamId, kind: ExamKind, subject: string, day: Day, from: number, to: number, groups: Array<GroupId>, 
/**
 * Of the groups, in the same order.
 */
group_names: Array<string>, room: string, by: AccountId, 
/**
 * Of who planned it; empty for pupils.
 */
by_name: string, may_change: boolean, };

export type ExamsView = { 
/**
 * By day and period.
 */
exams: Array<ExamView>, rules: ExamRules, 
/**
 * Groups that the viewer may plan for.
 */
groups: Array<GroupView>, 
/**
 * Whether the rules are the viewer's to set.
 */
may_manage: boolean, };

/**
 * How full a day would be for those who are to write.
 */
export type DayLoad = { day: Day, 
/**
 * Most exams that count, of whoever has the most.
 */
on_day: number, in_week: number, 
/**
 * One more would be more than the school wants.
 */
over: boolean, 
/**
 * For how many pupils.
 */
pupils: number, 
/**
 * Nobody writes, and why.
 */
blocked: string | null, exams: Array<ExamId>, };

/**
 * What happens to a lesson, as far as the viewer may see it.
 */
export type ChangeView = { kind: ChangeKind, 
/**
 * Whether there is a lesson all the same.
 */
held: boolean, 
/**
 * Only what is other than planned.
 */
subject: string | null, teacher: string | null, rooms: Array<string>, text: string, 
/**
 * As it was read in; for who may change it.
 */
source: Substitution | null, };

/**
 * A break duty.
 */
export type DutyView = { 
/**
 * The period before which the break is.
 */
before: number, area: string, };

/**
 * A lesson on a day.
 */
export type LessonView = { period: number, subject: string, classes: Array<string>, 
/**
 * Names, or short names of whom the school does not know. Empty where they are hidden.
 */
teachers: Array<string>, rooms: Array<string>, weeks: Weeks, 
/**
 * Whether the plan has it; if not, it is there by its changes alone.
 */
planned: boolean, 
/**
 * What is other than planned on this day.
 */
changes: Array<ChangeView>, 
/**
 * As the plan has it; for who may change it.
 */
source: Lesson | null, };

export type DayView = { day: Day, 
/**
 * In a teacher's week.
 */
duties: Array<DutyView>, 
/**
 * For everybody; empty: none.
 */
text: string, lessons: Array<LessonView>, };

/**
 * A week from Monday on.
 */
export type WeekView = { monday: Day, 
/**
 * `a` or `b`; none: the school has no such weeks.
 */
week: Weeks | null, 
/**
 * Of whom it is, in short names: the own classes, or the own short name. Empty: the own one is not known.
 */
names: Array<string>, 
/**
 * Monday to Friday, and further days that have lessons.
 */
days: Array<DayView>, periods: Array<Period>, 
/**
 * Whether a plan holds on any of these days.
 */
planned: boolean, 
/**
 * The one of the week's last day; for who may change it.
 */
plan: DeviceId | null, };

export type TeacherView = { short: string, 
/**
 * Whose short name it is, if somebody said so.
 */
account: AccountId | null, name: string | null, };

export type PlanView = { plan: DeviceId, from: Day, until: Day | null, at: Hlc, by_name: string, lessons: number, };

/**
 * What there is to look at.
 */
export type TimetableView = { 
/**
 * For staff; empty for pupils, who see their own.
 */
classes: Array<string>, teachers: Array<TeacherView>, rooms: Array<string>, 
/**
 * The own short name.
 */
short: string | null, settings: Settings, may_manage: boolean, 
/**
 * Whether an info screen can be found under some secret; for who manages them.
 */
has_screen: boolean, 
/**
 * Who has switched on the folder of the box; for who manages them.
 */
watched_by: string | null, 
/**
 * For who manages them, the newest first.
 */
plans: Array<PlanView>, };

export type ScreenRow = { classes: Array<string>, period: number, subject: string, change: ChangeView, };

export type ScreenDay = { day: Day, text: string, rows: Array<ScreenRow>, };

export type ScreenView = { school_name: string, days: Array<ScreenDay>, periods: Array<Period>, };

export type Problem = { 
/**
 * Stable, in kebab-case, such as `not-a-member`. What programs and translations look at.
 */
code: string, 
/**
 * HTTP status.
 */
status: number, 
/**
 * One English sentence: what was wrong and where.
 */
title: string, 
/**
 * Seconds after which another try makes sense.
 */
retry_after_s?: number, };

export type NodeKind = "box" | "relay" | "gateway";

/**
 * Where a media node is reached.
 */
export type MediaNode = { name: NodeName, kind: NodeKind, 
/**
 * Base address of its HTTP door, such as `http://localhost:8480`, without a slash at the end.
 */
url: string, };

export type MediaRole = "moderator" | "participant";

/**
 * What a ticket promises.
 */
export type Claims = { 
/**
 * [`VERSION`].
 */
v: number, 
/**
 * Unique per reservation: random.
 */
id: string, 
/**
 * Whose key signed.
 */
school: SchoolId, 
/**
 * The room on the media node.
 */
room: ConferenceId, account: AccountId, 
/**
 * Shown to the others.
 */
name: string, role: MediaRole, audio_slots: number, video_slots: number, primary: MediaNode, 
/**
 * Used at once when the primary goes silent.
 */
standby: MediaNode | null, 
/**
 * Milliseconds since 1970. Checked when joining; a running connection goes on.
 */
expires_at_ms: number, };

/**
 * Where the browser turns when its box is gone: part of `SessionView`.
 */
export type GatewayView = { 
/**
 * Origin of the gateway for this school, without a slash at the end. The API there is the box's.
 */
url: string, 
/**
 * To be shown there as it is.
 */
pass: string, };

/**
 * `POST /api/login`.
 */
export type LoginRequest = { login: string, password: string, };

/**
 * `GET /api/session`, and the answer to a login.
 */
export type SessionView = { account: AccountId, login: string, name: string, 
/**
 * `pupil`, `teacher` or `admin`.
 */
role: string, school: SchoolId, school_name: string, served_by: NodeName, served_by_kind: NodeKind, 
/**
 * Whether the core can be reached right now.
 */
core_online: boolean, 
/**
 * The password is the first one, from a sheet of paper: nothing but `POST /api/password` is taken before.
 */
must_change_password: boolean, 
/**
 * Where to go when this node cannot be reached; absent if there is no gateway, or this is it.
 */
gateway?: GatewayView, };

/**
 * `POST /api/operations`: numbered on by the device, at most [`SUBMIT_OPERATIONS_MAX`]. `B` is `school::Body`.
 */
export type SubmitRequest<B> = { 
/**
 * Who wrote, as far as the page knows. The actor is the session's account all the same; if somebody else has signed in
 * on the same browser meanwhile, nothing is taken (401 `other-account`).
 */
account?: AccountId, device: DeviceId, operations: Array<Submitted<B>>, };

/**
 * One operation as a browser writes it; the box adds the actor from the session.
 */
export type Submitted<B> = { seq: Seq, at: Hlc, body: B, };

export type SubmitState = "saved" | "duplicate" | "gap" | "refused";

export type SubmitResult = { seq: Seq, state: SubmitState, 
/**
 * With `refused`: the stable code of the reason (`not-a-member`, ...).
 */
reason?: string, };

/**
 * The answer: sent after the operations are durable on the box.
 */
export type SubmitAnswer = { results: Array<SubmitResult>, 
/**
 * Where the device stands now.
 */
marks: DeviceMarks, };

/**
 * `GET /api/devices/{device}`: how far a device's operations have come. Also part of answers and live events.
 */
export type DeviceMarks = { device: DeviceId, 
/**
 * Highest number that is durable on the box.
 */
saved: Seq, 
/**
 * Highest number that a majority of the core has committed.
 */
secured: Seq, };

/**
 * Body of `GET /api/rooms/{room}/messages?before=&limit=`. `M` is `school::MessageView`, oldest first.
 */
export type Page<M> = { items: Array<M>, 
/**
 * Pass as `before` to get what is older; none at the beginning.
 */
older: LogIndex | null, };

/**
 * `POST /api/blobs`: begins an upload, or asks how far it has come.
 */
export type UploadRequest = { 
/**
 * Bytes, 1 to [`BLOB_LEN_MAX`](crate::blob::BLOB_LEN_MAX).
 */
size: number, 
/**
 * BLAKE3 of all bytes.
 */
hash: BlobHash, };

/**
 * The answer: go on at `have`. With `have` = `size` the blob is here and may be named.
 */
export type UploadAnswer = { 
/**
 * Names the upload: the hash.
 */
upload: BlobHash, 
/**
 * Bytes of each `PUT /api/blobs/{upload}?offset=` but the last.
 */
chunk_len: number, have: number, };

/**
 * Answer to `PUT /api/blobs/{upload}?offset=`: bytes that are here, durably.
 */
export type UploadProgress = { have: number, };

/**
 * `POST /api/conferences/{conference}/ticket`.
 */
export type TicketAnswer = { "type": "granted", 
/**
 * To be shown to the media node as it is.
 */
ticket: string, claims: Claims, } | { "type": "queued", position: number, retry_after_ms: number, };

/**
 * What a column may say.
 */
export type ListField = "record" | "first_name" | "last_name" | "name" | "class" | "role" | "login";

/**
 * A column of the list, and what it was taken for.
 */
export type ListColumn = { name: string, 
/**
 * `None`: it is not used.
 */
field: ListField | null, };

/**
 * How the file was read.
 */
export type ListFormat = { 
/**
 * `utf-8`, `iso-8859-15` or `windows-1252`.
 */
encoding: string, 
/**
 * `;`, `,` or a tab.
 */
delimiter: string, columns: Array<ListColumn>, };

export type NewPerson = { account: AccountId, name: string, login: string, role: string, classes: Array<string>, };

export type ChangedPerson = { account: AccountId, 
/**
 * As the list says.
 */
name: string, 
/**
 * If the list says another one.
 */
name_before?: string, role?: string, joins: Array<string>, leaves: Array<string>, 
/**
 * Was locked as a leaver, and is in the list again.
 */
returns: boolean, };

export type Leaver = { account: AccountId, name: string, };

/**
 * What is wrong with the list, and where.
 */
export type ListProblem = { 
/**
 * Line of the file, from 1; 0: the whole file.
 */
line: number, 
/**
 * Column of the list, from 1; 0: the whole line.
 */
column: number, 
/**
 * `no-header`, `missing-column`, `broken-quotes`, `too-few-fields`, `empty-field`, `bad-name`, `bad-login`, `login-taken`,
 * `bad-role`, `twice`, `too-long`, `not-text`, `too-many-rows`.
 */
code: string, 
/**
 * The value that was found, shortened; or the name of what is missing.
 */
value: string, };

/**
 * `POST /api/imports?role=`: what the list would change. The body is the file as it is.
 */
export type ImportPlan = { 
/**
 * Names the import; to be applied under this name.
 */
import: DeviceId, format: ListFormat, 
/**
 * People in the list.
 */
rows: number, new_groups: Array<string>, new_people: Array<NewPerson>, changed: Array<ChangedPerson>, 
/**
 * In the list before and not any more: their accounts are locked.
 */
leavers: Array<Leaver>, 
/**
 * People about whom nothing changes.
 */
unchanged: number, 
/**
 * With any, the list cannot be applied. The first [`PROBLEMS_MAX`].
 */
problems: Array<ListProblem>, };

/**
 * For a sheet of paper: must be changed at the first signing in.
 */
export type FirstPassword = { account: AccountId, name: string, login: string, password: string, classes: Array<string>, };

/**
 * `POST /api/imports/{import}/apply`: done. The passwords are shown this once and kept nowhere.
 */
export type ImportDone = { passwords: Array<FirstPassword>, };

/**
 * `GET /api/imports`: one that was applied, the newest first.
 */
export type ImportView = { import: DeviceId, at: Hlc, by_name: string, created: number, changed: number, locked: number, 
/**
 * Whether it can be undone: the newest one only.
 */
may_undo: boolean, };

/**
 * `POST /api/password`: the own one.
 */
export type PasswordRequest = { old: string, new: string, };

/**
 * Which of the program's files it is.
 */
export type FileKind = "plan" | "changes" | "weeks" | "duties";

/**
 * A lesson or a substitution in a comparison.
 */
export type TimetableLine = { 
/**
 * 1 is Monday.
 */
day: number, 
/**
 * Of a substitution.
 */
date: Day | null, 
/**
 * Of a substitution: what happens, as in `ChangeKind`.
 */
kind: string | null, period: number, classes: string, teachers: string, subject: string, rooms: string, };

/**
 * `POST /api/timetable/imports?kind=`: what the file would change. The body is the file as it is.
 */
export type TimetableDraft = { 
/**
 * Names the import; to be applied under this name.
 */
import: DeviceId, kind: FileKind, format: ListFormat, 
/**
 * The first day for which it would hold.
 */
from: Day, 
/**
 * Lessons or substitutions in the file.
 */
entries: number, added_count: number, removed_count: number, 
/**
 * The first [`LINES_SHOWN_MAX`] of each.
 */
added: Array<TimetableLine>, removed: Array<TimetableLine>, 
/**
 * Classes in the file that no group of the school is called like: nobody would see their lessons.
 */
unknown_classes: Array<string>, 
/**
 * With any, the file cannot be applied.
 */
problems: Array<ListProblem>, };

export type WatchedState = "applied" | "same" | "broken" | "refused";

export type WatchedFile = { name: string, kind: FileKind, at: Hlc, state: WatchedState, entries: number, 
/**
 * The first few.
 */
problems: Array<ListProblem>, 
/**
 * Why it was refused.
 */
reason: string, };

/**
 * `GET /api/timetable/watch`: the folder on the box in which a timetable program leaves its files.
 */
export type WatchView = { 
/**
 * Whether this node has such a folder.
 */
folder: boolean, 
/**
 * What became of each file since the node began.
 */
files: Array<WatchedFile>, };

/**
 * Server -> browser. `R`, `M`, `C` are `school::{RoomView, MessageView, ConferenceView}`.
 */
export type Event<R, M, C> = { "type": "hello", head: LogIndex, marks: DeviceMarks | null, core_online: boolean, } | { "type": "message", head: LogIndex, message: M, } | { "type": "room", head: LogIndex, room: R, } | { "type": "room_gone", head: LogIndex, room: RoomId, } | { "type": "read", head: LogIndex, room: RoomId, account: AccountId, upto: LogIndex, } | { "type": "conference", head: LogIndex, conference: C, } | { "type": "timetable", head: LogIndex, } | { "type": "exams", head: LogIndex, } | { "type": "substituted", head: LogIndex, days: Array<Day>, } | { "type": "marks", marks: DeviceMarks, } | { "type": "rejected", seq: Seq, reason: string, } | { "type": "core", online: boolean, } | { "type": "reload", head: LogIndex, } | { "type": "pong", head: LogIndex, } | { "type": "session_ended" };

/**
 * Browser -> server.
 */
export type Command = { "type": "ping" };

/**
 * One connection of one person in a room; a person with two devices is there twice.
 */
export type ParticipantId = string;

export type SourceKind = "microphone" | "camera" | "screen";

/**
 * A picture that the page shows.
 */
export type Tile = { participant: ParticipantId, kind: SourceKind, 
/**
 * Height on the screen in device pixels: the layer follows it.
 */
height: number, };

export type JoinRequest = { ticket: string, 
/**
 * SDP offer.
 */
offer: string, 
/**
 * A connection that is kept ready at the ticket's other node: it enters the room with [`ToNode::Activate`] only.
 */
standby: boolean, };

export type JoinAnswer = { 
/**
 * Secret name of this connection, for the control channel.
 */
session: string, 
/**
 * SDP answer.
 */
answer: string, node: NodeName, node_kind: NodeKind, 
/**
 * Further ways to the node, for networks that let little through; to be set before candidates are gathered.
 */
ice_servers: Array<IceServer>, };

/**
 * TURN, in the words of the browsers' `RTCIceServer`.
 */
export type IceServer = { urls: Array<string>, username: string, credential: string, };

export type May = { microphone: boolean, camera: boolean, screen: boolean, };

export type Participant = { id: ParticipantId, account: AccountId, name: string, 
/**
 * At present: the ticket's, or what was handed over.
 */
role: MediaRole, 
/**
 * Sent just now, and forwarded.
 */
microphone: boolean, camera: boolean, screen: boolean, 
/**
 * Place in the queue of raised hands, from 1.
 */
hand: number | null, 
/**
 * Muted by a moderator: not forwarded until he takes it back ([`ToNode::Unmute`]).
 */
muted: boolean, 
/**
 * What the room's locks leave to this person.
 */
may: May, };

export type Rules = { 
/**
 * The waiting room is on.
 */
lobby: boolean, 
/**
 * Locked for participants.
 */
microphone_locked: boolean, camera_locked: boolean, screen_locked: boolean, cameras_to_moderators: boolean, spotlight: AccountId | null, };

/**
 * Somebody who is not in the room.
 */
export type Known = { account: AccountId, name: string, };

/**
 * One stay of one person in the room.
 */
export type Stay = { account: AccountId, name: string, 
/**
 * Of the ticket.
 */
role: MediaRole, 
/**
 * Milliseconds since 1970.
 */
from_ms: number, 
/**
 * Nothing: still there.
 */
to_ms: number | null, };

/**
 * What a moderator asks for. People are named by their accounts: an order holds for all their devices, at whichever
 * node they are, and also when they come back with another ticket.
 */
export type Order = { "type": "lobby", on: boolean, } | { "type": "admit", account: AccountId, } | { "type": "admit_all" } | { "type": "refuse", account: AccountId, } | { "type": "mute", account: AccountId, } | { "type": "mute_all" } | { "type": "lock", kind: SourceKind, on: boolean, } | { "type": "allow", account: AccountId, kind: SourceKind, on: boolean, } | { "type": "cameras_to_moderators", on: boolean, } | { "type": "lower_hand", account: AccountId, } | { "type": "lower_hands" } | { "type": "spotlight", account: AccountId | null, } | { "type": "role", account: AccountId, role: MediaRole, } | { "type": "hand_over", account: AccountId, } | { "type": "remove", account: AccountId, } | { "type": "unblock", account: AccountId, } | { "type": "end" } | { "type": "attendance" };

export type MoveReason = "drain" | "return";

export type Slot = { slot: number, 
/**
 * Nobody: the slot is free.
 */
participant: ParticipantId | null, kind: SourceKind, 
/**
 * The picture pauses: the client's line does not carry even its smallest layer now. It comes back by itself.
 */
paused: boolean, };

export type Speaker = { participant: ParticipantId, level: number, };

/**
 * From best to worst, as the node sees it: losses in both directions, the round trip, and how much of what the person
 * wants to see the line carries. `lost`: nothing has come from the person for 6 s.
 */
export type Quality = "excellent" | "good" | "poor" | "lost";

export type PersonQuality = { participant: ParticipantId, quality: Quality, };

/**
 * Client -> node.
 */
export type ToNode = { "type": "publish", microphone: boolean, camera: boolean, screen: boolean, } | { "type": "activate" } | { "type": "view", tiles: Array<Tile>, } | { "type": "hand", raised: boolean, } | { "type": "unmute" } | { "type": "moderate", order: Order, } | { "type": "ping", n: number, };

/**
 * Node -> client.
 */
export type ToClient = { "type": "welcome", you: ParticipantId, node: NodeName, node_kind: NodeKind, } | { "type": "waiting" } | { "type": "rules", rules: Rules, } | { "type": "lobby", waiting: Array<Known>, blocked: Array<Known>, } | { "type": "roster", participants: Array<Participant>, } | { "type": "slots", audio: Array<Slot>, video: Array<Slot>, } | { "type": "quality", people: Array<PersonQuality>, } | { "type": "speakers", speakers: Array<Speaker>, } | { "type": "attendance", stays: Array<Stay>, } | { "type": "pong", n: number, } | { "type": "move", reason: MoveReason, } | { "type": "closing", reason: string, };
