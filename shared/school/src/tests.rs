//! Rules and effects, by topic. The harness plays the core: every operation gets the next index.

mod account;
mod attachment;
mod conference;
mod exam;
mod import;
mod message;
mod numbering;
mod rights;
mod room;
pub mod timetable;
mod view;

use crate::{
    Actor, Applied, Body, Change, GroupKind, MemoryKv, Operation, Outcome, Position, Reject, Role, apply, check,
    view as views,
};
use schulhof_wire::{AccountId, DeviceId, Hlc, LogIndex, Seq};
use std::collections::BTreeMap;

pub const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";

pub fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("an identifier")
}

pub fn ids(texts: &[&str]) -> Vec<AccountId> {
    texts.iter().map(|text| id(text)).collect()
}

/// A school, and for each account a device that numbers by itself.
#[derive(Clone)]
pub struct Town {
    pub store: MemoryKv,
    seqs: BTreeMap<String, u64>,
}

impl Town {
    /// Admin `root`; teachers `tina`, `tom`; pupils `anna`, `ben` in class `5a`, `carl` in class `5b` with `tina` in both.
    pub fn new() -> Self {
        let mut town = Self { store: MemoryKv::default(), seqs: BTreeMap::new() };
        town.ok("operator", Body::SchoolName { name: "Nordschule".into() });
        for (account, role) in [
            ("root", Role::Admin),
            ("tina", Role::Teacher),
            ("tom", Role::Teacher),
            ("anna", Role::Pupil),
            ("ben", Role::Pupil),
            ("carl", Role::Pupil),
        ] {
            town.ok("operator", Self::account(account, role));
        }
        for (group, members) in [("5a", ["tina", "anna", "ben"].as_slice()), ("5b", &["tina", "carl"])] {
            let name = format!("Klasse {group}");
            town.ok("root", Body::GroupCreate { group: id(group), name, kind: GroupKind::Class });
            town.ok("root", Body::GroupMembers { group: id(group), add: ids(members), remove: vec![] });
        }
        town
    }

    pub fn account(account: &str, role: Role) -> Body {
        let name = account[..1].to_uppercase() + &account[1..];
        Body::AccountCreate { account: id(account), login: account.to_lowercase(), name, role, password: HASH.into() }
    }

    pub fn head(&self) -> LogIndex {
        views::head(&self.store)
    }

    /// The next operation of the actor's device.
    pub fn op(&self, actor: &str, body: Body) -> Operation {
        let seq = self.seqs.get(actor).copied().unwrap_or(0) + 1;
        let acting = if actor == "operator" { Actor::Operator } else { Actor::Account(id(actor)) };
        let device: DeviceId = id(&format!("dev-{actor}"));
        Operation { device, seq: Seq(seq), actor: acting, at: Hlc::from_ms(1_000 + seq), body }
    }

    pub fn apply(&mut self, op: &Operation) -> Applied {
        let position = Position::Confirmed(LogIndex(self.head().0 + 1));
        apply(&mut self.store, position, op)
    }

    /// Does it, and demands that `check` and `apply` agree, and that a rejection leaves no trace but its number.
    pub fn act(&mut self, actor: &str, body: Body) -> Result<Vec<Change>, Reject> {
        let op = self.op(actor, body);
        let checked = check(&self.store, &op);
        let before = self.store.clone();
        let applied = self.apply(&op);
        *self.seqs.entry(actor.into()).or_default() += 1;
        let Applied::Entry { outcome, changes } = applied else { panic!("{op:?}: {applied:?}") };
        match outcome {
            Outcome::Accepted => {
                assert_eq!(checked, Ok(()), "{op:?}");
                Ok(changes)
            }
            Outcome::Rejected(reject) => {
                assert_eq!(checked, Err(reject), "{op:?}");
                assert!(changes.is_empty());
                let mut after = self.store.clone();
                for key in [crate::key::HEAD.to_vec(), crate::key::device(&op.device)] {
                    after.0.remove(&key);
                    if let Some(value) = before.0.get(&key) {
                        after.0.insert(key, value.clone());
                    }
                }
                assert_eq!(after, before, "{op:?} was rejected but left a trace");
                Err(reject)
            }
        }
    }

    pub fn ok(&mut self, actor: &str, body: Body) -> Vec<Change> {
        let shown = format!("{actor}: {body:?}");
        self.act(actor, body).unwrap_or_else(|reject| panic!("{shown}: {reject}"))
    }

    #[track_caller]
    pub fn forbidden(&mut self, actor: &str, body: Body, reject: Reject) {
        let shown = format!("{actor}: {body:?}");
        assert_eq!(self.act(actor, body), Err(reject), "{shown}");
    }

    pub fn post(&mut self, actor: &str, room: &str, text: &str) -> LogIndex {
        self.ok(actor, Body::post(id(room), text));
        self.head()
    }

    pub fn read(&mut self, actor: &str, room: &str, upto: LogIndex) {
        self.ok(actor, Body::ReadMark { room: id(room), upto });
    }

    pub fn unread(&self, viewer: &str, room: &str) -> u32 {
        views::room(&self.store, &id(viewer), &id(room)).unwrap().unread
    }

    pub fn room_of(a: &str, b: &str) -> String {
        let (a, b): (AccountId, AccountId) = (id(a), id(b));
        assert_eq!(views::direct_room_id(&a, &b), views::direct_room_id(&b, &a));
        views::direct_room_id(&a, &b).to_string()
    }
}
