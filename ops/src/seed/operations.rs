//! The demo schools as operations of the log: what the operator does, and what people then write.

use super::demo::{DemoSchool, PASSWORD, Person};
use schulhof_school::{
    Body, GroupKind, Operation,
    op::{Actor, Role},
};
use schulhof_wire::{AccountId, DeviceId, GroupId, Hlc, RoomId, Seq};

/// Numbers the operator's operations.
const DEVICE: &str = "import:demo";
const STAFF: &str = "staff";

/// Names, accounts and groups, in order. `now_ms` (milliseconds since 1970) is when they are said to have happened;
/// `hashes` are the people's password hashes, one each.
pub fn of(school: &DemoSchool, now_ms: u64, hashes: Vec<String>) -> Vec<Operation> {
    let mut all = Numbering { at: Hlc::from_ms(now_ms), operations: Vec::new() };
    all.push(Body::SchoolName { name: school.name.to_owned() });
    for (person, password) in school.people().zip(hashes) {
        all.push(Body::AccountCreate {
            account: person.account.clone(),
            login: person.login.clone(),
            name: person.name.clone(),
            role: person.role,
            password,
        });
    }
    for class in &school.classes {
        let teachers = class.teachers.iter().map(|t| &school.teachers[*t]);
        all.group(class.id, &class.name, GroupKind::Class, teachers.chain(&class.pupils));
    }
    let staff = school.people().filter(|p| p.role != Role::Pupil);
    all.group(STAFF, "Kollegium", GroupKind::Staff, staff);
    all.operations
}

/// A first message by somebody.
pub struct Message<'a> {
    pub author: &'a Person,
    /// Numbers this one message: a device belongs to one account.
    pub device: DeviceId,
    pub room: RoomId,
    pub text: &'static str,
}

/// What people write first.
pub fn messages(school: &DemoSchool) -> Vec<Message<'_>> {
    let welcomes = school.classes.iter().map(|c| (&school.teachers[c.teachers[0]], c.id, c.welcome));
    let staff = [
        (&school.admin, STAFF, "Willkommen bei Schulhof! Fragen zur Plattform bitte hier hinein."),
        (&school.teachers[0], STAFF, "Danke! Die Konferenz am Donnerstag findet per Video statt."),
    ];
    welcomes
        .chain(staff)
        .map(|(author, room, text)| Message {
            author,
            device: DeviceId::new(format!("{DEVICE}:{}:{room}", author.account)).expect("short identifiers"),
            room: RoomId::new(room).expect("a fixed identifier"),
            text,
        })
        .collect()
}

/// One hash per person of the school, on all cores.
pub fn hash_passwords(school: &DemoSchool) -> Vec<String> {
    let people = school.people().count();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(people.max(1));
    let share = people.div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..people)
            .step_by(share)
            .map(|from| {
                let len = share.min(people - from);
                scope
                    .spawn(move || (0..len).map(|_| schulhof_edge::door::password::hash(PASSWORD.as_bytes())).collect())
            })
            .collect();
        workers.into_iter().flat_map(|w| -> Vec<String> { w.join().expect("hashing does not panic") }).collect()
    })
}

struct Numbering {
    at: Hlc,
    operations: Vec<Operation>,
}

impl Numbering {
    fn push(&mut self, body: Body) {
        let device = DeviceId::new(DEVICE).expect("a fixed identifier");
        let seq = Seq(self.operations.len() as u64 + 1);
        self.at = self.at.tick(self.at.ms());
        self.operations.push(Operation { device, seq, actor: Actor::Operator, at: self.at, body });
    }

    fn group<'a>(&mut self, id: &str, name: &str, kind: GroupKind, members: impl Iterator<Item = &'a Person>) {
        let group = GroupId::new(id).expect("a fixed identifier");
        let add: Vec<AccountId> = members.map(|p| p.account.clone()).collect();
        self.push(Body::GroupCreate { group: group.clone(), name: name.to_owned(), kind });
        self.push(Body::GroupMembers { group, add, remove: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_school::{Applied, MemoryKv, Outcome, Position, apply};
    use schulhof_wire::LogIndex;

    #[test]
    fn the_rules_accept_every_operation_and_the_second_time_is_a_duplicate() {
        for id in ["nord", "sued"] {
            let school = DemoSchool::of(id).unwrap();
            let hashes = vec!["$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(); school.people().count()];
            let operations = of(&school, 1_700_000_000_000, hashes);
            let mut store = MemoryKv::default();
            for (n, operation) in operations.iter().enumerate() {
                let position = Position::Confirmed(LogIndex(n as u64 + 1));
                let applied = apply(&mut store, position, operation);
                assert!(
                    matches!(applied, Applied::Entry { outcome: Outcome::Accepted, .. }),
                    "{applied:?} for {operation:?}"
                );
            }
            let next = Position::Confirmed(LogIndex(operations.len() as u64 + 1));
            for operation in &operations {
                assert_eq!(apply(&mut store, next, operation), Applied::Duplicate);
            }
            assert_eq!(operations.len() + messages(&school).len(), school.len());
            for (n, message) in messages(&school).into_iter().enumerate() {
                let actor = Actor::Account(message.author.account.clone());
                let body = Body::post(message.room, message.text);
                let operation = Operation { device: message.device, seq: Seq(1), actor, at: Hlc(0), body };
                let position = Position::Confirmed(LogIndex((operations.len() + n) as u64 + 1));
                let applied = apply(&mut store, position, &operation);
                assert!(matches!(applied, Applied::Entry { outcome: Outcome::Accepted, .. }), "{applied:?}");
            }
        }
    }
}
