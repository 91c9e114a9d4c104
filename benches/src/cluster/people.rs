//! A school's first operations: so many teachers, all in the same rooms.

use schulhof_school::{
    Body, GroupKind, Operation,
    op::{Actor, Role},
};
use schulhof_wire::{AccountId, DeviceId, GroupId, Hlc, Seq};

/// Of everybody.
pub const PASSWORD: &str = "schulhof";

/// The login, and account, of the n-th teacher.
pub fn login(n: usize) -> String {
    format!("teacher-{n}")
}

/// Makes schools. One password hash serves all: making one costs as much as a login.
pub struct Schools {
    hash: String,
    at: Hlc,
}

impl Schools {
    pub fn new(now_ms: u64) -> Self {
        Self { hash: schulhof_edge::door::password::hash(PASSWORD.as_bytes()), at: Hlc::from_ms(now_ms) }
    }

    pub fn operations(&self, teachers: usize, rooms: &[&str]) -> Vec<Operation> {
        let account = |n: usize| AccountId::new(login(n)).expect("a short identifier");
        let mut bodies = vec![Body::SchoolName { name: "Schule im Sturm".to_owned() }];
        for n in 0..teachers {
            let (login, name, role) = (login(n), format!("Lehrkraft {n}"), Role::Teacher);
            bodies.push(Body::AccountCreate { account: account(n), login, name, role, password: self.hash.clone() });
        }
        for room in rooms {
            let group = GroupId::new(*room).expect("a short identifier");
            bodies.push(Body::GroupCreate {
                group: group.clone(),
                name: format!("Raum {room}"),
                kind: GroupKind::Course,
            });
            bodies.push(Body::GroupMembers { group, add: (0..teachers).map(account).collect(), remove: Vec::new() });
        }
        let device = DeviceId::new("import:bench").expect("a short identifier");
        let operation =
            |(n, body)| Operation { device: device.clone(), seq: Seq(n), actor: Actor::Operator, at: self.at, body };
        (1..).zip(bodies).map(operation).collect()
    }
}
