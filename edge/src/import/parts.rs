//! A plan as operations: first passwords for new accounts, and changes cut into parts that fit into an operation.

use crate::door::password;
use rand::Rng as _;
use schulhof_school::{Actor, Body, Operation, PeopleChange};
use schulhof_wire::{AccountId, DeviceId, Hlc, Seq, import::FirstPassword};
use std::collections::BTreeMap;

/// JSON of one part's changes; an operation has at most 64 KiB.
const PART_LEN_MAX: usize = 40 * 1024;
/// Members of a group named in one change: some 25 bytes each.
const MEMBERS_MAX: usize = 500;
/// Letters and digits that are not taken for one another when read from paper: 31 of them, 5 bits each.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz2345678";
const _: () = assert!(ALPHABET.len() == 31);
/// 59 bits: too many to be guessed, whatever the hash costs.
const PASSWORD_LEN: usize = 12;
const PASSWORD_GROUP_LEN: usize = 4;

/// A first password, in groups that are easy to type.
fn first_password() -> String {
    let mut rng = rand::rng();
    let mut text = String::with_capacity(PASSWORD_LEN + PASSWORD_LEN / PASSWORD_GROUP_LEN);
    for n in 0..PASSWORD_LEN {
        if n > 0 && n % PASSWORD_GROUP_LEN == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    }
    text
}

/// Gives each new account a password; they are for paper, the changes keep their hashes. Takes a processor for a third of a
/// millisecond each.
pub fn give_passwords(changes: &mut [PeopleChange]) -> BTreeMap<AccountId, String> {
    let mut given = BTreeMap::new();
    for change in changes {
        if let PeopleChange::Account { account, password, .. } = change {
            let first = first_password();
            *password = password::hash_random(first.as_bytes());
            given.insert(account.clone(), first);
        }
    }
    given
}

/// The sheets, in the order of the list.
pub fn sheets(
    people: &[schulhof_wire::import::NewPerson],
    mut passwords: BTreeMap<AccountId, String>,
) -> Vec<FirstPassword> {
    let sheet = |person: &schulhof_wire::import::NewPerson| {
        Some(FirstPassword {
            account: person.account.clone(),
            name: person.name.clone(),
            login: person.login.clone(),
            password: passwords.remove(&person.account)?,
            classes: person.classes.clone(),
        })
    };
    people.iter().filter_map(sheet).collect()
}

/// Operations of a device that is named like the import: its parts, and that they be applied.
pub fn operations(import: &DeviceId, by: &AccountId, at: Hlc, changes: Vec<PeopleChange>) -> Vec<Operation> {
    let mut bodies: Vec<Body> = Vec::new();
    for (part, changes) in (0..).zip(cut(changes)) {
        bodies.push(Body::ImportPart { import: import.clone(), part, changes });
    }
    bodies.push(Body::ImportApply { import: import.clone(), parts: bodies.len() as u32 });
    let operation =
        |(seq, body)| Operation { device: import.clone(), seq: Seq(seq), actor: Actor::Account(by.clone()), at, body };
    (1..).zip(bodies).map(operation).collect()
}

fn cut(changes: Vec<PeopleChange>) -> Vec<Vec<PeopleChange>> {
    let mut parts = vec![Vec::new()];
    let mut len = 0;
    for change in changes.into_iter().flat_map(short) {
        let own = serde_json::to_vec(&change).map_or(0, |json| json.len());
        if len + own > PART_LEN_MAX && len > 0 {
            parts.push(Vec::new());
            len = 0;
        }
        len += own;
        parts.last_mut().expect("one at least").push(change);
    }
    parts
}

/// Members of a large group come in several changes.
fn short(change: PeopleChange) -> Vec<PeopleChange> {
    let PeopleChange::Members { group, add, remove } = change else { return vec![change] };
    let joins = add.chunks(MEMBERS_MAX).map(|add| (add.to_vec(), Vec::new()));
    let leaves = remove.chunks(MEMBERS_MAX).map(|remove| (Vec::new(), remove.to_vec()));
    let members = |(add, remove)| PeopleChange::Members { group: group.clone(), add, remove };
    joins.chain(leaves).map(members).collect()
}
