//! The school that every world begins with, and what its people do.

use super::Core;
use schulhof_school::{
    Actor, Body, GroupKind, MemoryKv, Operation, PeopleChange, Role,
    exam::{Exam, Kind, Over, Rules},
    timetable::{
        Item, Lesson, Scope, Settings, Weeks,
        changes::{Kind as Happens, Substitution},
        duties::Duty,
    },
    view,
};
use schulhof_testkit::Rng;
use schulhof_wire::{
    AccountId, BlobHash, Day, DeviceId, GroupId, Hlc, LogIndex, RoomId, SchoolId, Seq, node::EncodedOperation,
};
use std::collections::BTreeMap;

pub const PEOPLE: [(&str, Role); 6] = [
    ("root", Role::Admin),
    ("tina", Role::Teacher),
    ("tom", Role::Teacher),
    ("anna", Role::Pupil),
    ("ben", Role::Pupil),
    ("carl", Role::Pupil),
];

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";

pub fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("an identifier")
}

pub fn school() -> SchoolId {
    id("nord")
}

pub fn op(device: &str, seq: u64, actor: &str, body: Body) -> Operation {
    let acting = if actor == "operator" { Actor::Operator } else { Actor::Account(id(actor)) };
    Operation { device: id::<DeviceId>(device), seq: Seq(seq), actor: acting, at: Hlc::from_ms(seq), body }
}

pub fn post(room: &str, text: &str) -> Body {
    Body::post(id(room), text)
}

/// The first entries: people, two groups and everybody's room.
pub fn found(core: &mut Core) {
    let mut bodies = Vec::new();
    for (account, role) in PEOPLE {
        let password = HASH.to_owned();
        bodies.push(Body::AccountCreate {
            account: id(account),
            login: account.into(),
            name: account.into(),
            role,
            password,
        });
    }
    for (group, members) in [("5a", ["tina", "anna", "ben"]), ("staff", ["root", "tina", "tom"])] {
        bodies.push(Body::GroupCreate { group: id(group), name: group.into(), kind: GroupKind::Class });
        let add = members.map(id::<AccountId>).to_vec();
        bodies.push(Body::GroupMembers { group: id(group), add, remove: vec![] });
    }
    bodies.push(Body::ExamRules { rules: exam_rules() });
    for (n, body) in bodies.into_iter().enumerate() {
        core.order(EncodedOperation(op("founder", n as u64 + 1, "operator", body).encode()));
    }
}

fn somebody(rng: &mut Rng) -> AccountId {
    id(rng.pick(&PEOPLE).0)
}

/// A room that may exist, and that the person may be in.
fn some_room(rng: &mut Rng, actor: &str) -> RoomId {
    match rng.below(6) {
        0 => view::direct_room_id(&id(actor), &somebody(rng)),
        1 => id("staff"),
        2 => id(&format!("free-{}", rng.below(4))),
        _ => id("5a"),
    }
}

fn some_import(rng: &mut Rng) -> DeviceId {
    id(&format!("i-{}", rng.below(2)))
}

fn some_changes(rng: &mut Rng) -> Vec<PeopleChange> {
    let count = rng.between(1, 3);
    (0..count).map(|_| some_change(rng)).collect()
}

fn some_change(rng: &mut Rng) -> PeopleChange {
    let new = rng.below(8);
    match rng.below(6) {
        0 | 1 => PeopleChange::Account {
            account: id(&format!("new-{new}")),
            source: id("list"),
            record: new.to_string(),
            login: format!("new.{new}"),
            name: "Neu".into(),
            role: Role::Pupil,
            password: HASH.into(),
        },
        2 => PeopleChange::Name { account: somebody(rng), name: format!("Name {new}") },
        3 => PeopleChange::Lock { account: id("carl"), locked: rng.chance(1, 2) },
        4 => PeopleChange::Group { group: id(&format!("6-{new}")), name: "Sechs".into(), kind: GroupKind::Class },
        _ => PeopleChange::Members { group: id("5a"), add: vec![somebody(rng)], remove: vec![somebody(rng)] },
    }
}

fn some_plan(rng: &mut Rng) -> DeviceId {
    id(&format!("t-{}", rng.below(12)))
}

fn some_lesson(rng: &mut Rng) -> Item {
    let some = |rng: &mut Rng, names: [&str; 3]| (0..rng.below(3)).map(|n| names[n as usize].to_owned()).collect();
    Item::Lesson(Lesson {
        day: rng.between(1, 6) as u8,
        period: rng.below(9) as u8,
        number: rng.below(50) as u32,
        classes: some(rng, ["5a", "5b", "Q1"]),
        teachers: some(rng, ["TI", "TO", "X"]),
        subject: "M".into(),
        rooms: some(rng, ["101", "102", "Halle"]),
        weeks: [Weeks::All, Weeks::A, Weeks::B][rng.index(3)],
        from: None,
        until: None,
    })
}

fn some_substitution(rng: &mut Rng) -> Item {
    Item::Change(Substitution {
        day: Day::FIRST.plus(200 + rng.below(300) as i32),
        period: rng.below(9) as u8,
        number: rng.below(50) as u32,
        lesson: rng.below(3) as u32,
        kind: [Happens::Cancelled, Happens::Room, Happens::BreakDuty][rng.index(3)],
        classes: vec![["5a", "Q1"][rng.index(2)].into()],
        absent: ["TI", ""][rng.index(2)].into(),
        teacher: ["TO", ""][rng.index(2)].into(),
        subject: "M".into(),
        new_subject: String::new(),
        rooms: vec![],
        new_rooms: vec!["Halle".into()],
        text: String::new(),
    })
}

fn some_timetable(rng: &mut Rng) -> Body {
    let from = Day::FIRST.plus(rng.below(400) as i32);
    match rng.below(16) {
        12 => Body::TimetableWatch { on: rng.chance(2, 3) },
        13 => {
            let (remove, add) = (vec![some_lesson(rng)], vec![some_lesson(rng)]);
            let only = |item| if let Item::Lesson(lesson) = item { Some(lesson) } else { None };
            let lessons = |items: Vec<Item>| items.into_iter().filter_map(only).collect();
            Body::TimetableEdit { plan: some_plan(rng), remove: lessons(remove), add: lessons(add) }
        }
        14 => {
            let only = |item| if let Item::Change(change) = item { Some(change) } else { None };
            let (remove, add) = (only(some_substitution(rng)), only(some_substitution(rng)));
            Body::TimetableChange { remove: remove.into_iter().collect(), add: add.into_iter().collect() }
        }
        15 => {
            let (import, area) = (some_plan(rng), ["Hof", "Flur"][rng.index(2)].into());
            let duty = Duty { day: 1, before: 3, area, teacher: "TI".into() };
            if rng.chance(1, 2) {
                Body::TimetablePart { import, part: 0, items: vec![Item::Duty(duty)] }
            } else {
                Body::TimetableApply { import, parts: 1, scope: Scope::Duties }
            }
        }
        8 => Body::TimetableDay { day: from, text: ["", "Wandertag"][rng.index(2)].into() },
        9 => Body::TimetableScreen { key: rng.chance(1, 2).then_some(BlobHash([rng.below(9) as u8; 32])) },
        10 => Body::TimetableApply { import: some_plan(rng), parts: 1, scope: Scope::Changes { from } },
        11 => {
            let items = (0..rng.below(4)).map(|_| some_substitution(rng)).collect();
            Body::TimetablePart { import: some_plan(rng), part: 0, items }
        }
        0 => {
            let week_a = rng.chance(1, 2).then_some(from);
            Body::TimetableSettings {
                settings: Settings { teachers_hidden: rng.chance(1, 2), week_a, periods: vec![] },
            }
        }
        1 => {
            let account = rng.chance(2, 3).then(|| somebody(rng));
            Body::TimetableTeacher { short: ["TI", "TO"][rng.index(2)].into(), account }
        }
        2 => Body::TimetableRemove { plan: some_plan(rng) },
        3 | 4 => {
            let until = rng.chance(1, 3).then(|| from.plus(rng.below(50) as i32));
            Body::TimetableApply { import: some_plan(rng), parts: 1, scope: Scope::Plan { from, until } }
        }
        _ => {
            let items = (0..rng.below(4)).map(|_| some_lesson(rng)).collect();
            Body::TimetablePart { import: some_plan(rng), part: rng.below(2) as u32, items }
        }
    }
}

/// Few days with few places: most of what boxes plan while they are apart cannot all stand.
fn exam_rules() -> Rules {
    Rules { over: Over::Refuse, ..Rules::default() }
}

fn some_exam(rng: &mut Rng) -> Body {
    let exam = id(&format!("e-{}", rng.below(30)));
    let from = rng.below(6) as u8;
    let plan = Exam {
        kind: if rng.chance(3, 4) { Kind::Written } else { Kind::Test },
        subject: "M".into(),
        day: Day::FIRST.plus(rng.below(12) as i32),
        from,
        to: from + rng.below(2) as u8,
        groups: [["5a", "staff"].as_slice(), &["5a"], &["5a"], &["staff"]][rng.index(4)]
            .iter()
            .map(|group| id(group))
            .collect(),
        room: String::new(),
    };
    match rng.below(5) {
        0 => Body::ExamCancel { exam },
        1 => Body::ExamChange { exam, plan },
        _ => Body::ExamPlan { exam, plan },
    }
}

/// A class with more exams than the rules allow, on whichever boxes they were planned.
pub fn exams_over_the_rules(store: &MemoryKv) -> Option<String> {
    let rules = exam_rules();
    let all =
        view::exam::exams(store, &id("root"), (Day::FIRST, Day::LAST)).map_or_else(|_| Vec::new(), |view| view.exams);
    for group in ["5a", "staff"] {
        let group: GroupId = id(group);
        let (mut days, mut weeks) = (BTreeMap::<Day, u8>::new(), BTreeMap::<Day, u8>::new());
        for exam in all.iter().filter(|exam| rules.counts(exam.kind) && exam.groups.contains(&group)) {
            *days.entry(exam.day).or_default() += 1;
            *weeks.entry(exam.day.monday()).or_default() += 1;
        }
        if days.values().max() > rules.day_max.as_ref() || weeks.values().max() > rules.week_max.as_ref() {
            return Some(format!("{group}: {days:?}, {weeks:?}"));
        }
    }
    None
}

/// Mostly messages; sometimes what changes rights, so that boxes and core decide differently about what waits.
pub fn some_body(rng: &mut Rng, actor: &str, head: LogIndex) -> Body {
    match rng.below(58) {
        0 => Body::AccountLock { account: id(["anna", "ben", "tom"][rng.index(3)]), locked: rng.chance(1, 3) },
        1 | 2 => {
            let who = vec![somebody(rng)];
            let (add, remove) = if rng.chance(3, 5) { (who, vec![]) } else { (vec![], who) };
            Body::GroupMembers { group: id("5a"), add, remove }
        }
        3 | 4 => Body::RoomCreate {
            room: id(&format!("free-{}", rng.below(4))),
            name: "Frei".into(),
            members: vec![somebody(rng), somebody(rng)],
        },
        5 => {
            let (add, remove) = (vec![somebody(rng)], vec![somebody(rng)]);
            Body::RoomMembers { room: id(&format!("free-{}", rng.below(4))), add, remove }
        }
        6 | 7 => Body::RoomDirect { with: somebody(rng) },
        8 => Body::ConferenceOpen {
            conference: id(&format!("c-{}", rng.below(6))),
            room: some_room(rng, actor),
            title: "Stunde".into(),
            expected: None,
        },
        9 => Body::ConferenceClose { conference: id(&format!("c-{}", rng.below(6))) },
        10..=15 => Body::ReadMark { room: some_room(rng, actor), upto: LogIndex(rng.between(1, head.0.max(1))) },
        16 | 17 => Body::ImportPart { import: some_import(rng), part: 0, changes: some_changes(rng) },
        18 => Body::ImportPart { import: some_import(rng), part: 1, changes: some_changes(rng) },
        19 | 20 => Body::ImportApply { import: some_import(rng), parts: 1 + rng.below(2) as u32 },
        21 => Body::ImportUndo { import: some_import(rng) },
        46..=51 => some_timetable(rng),
        52..=57 => some_exam(rng),
        _ => post(some_room(rng, actor).as_str(), &format!("text {}", rng.below(1_000_000))),
    }
}
