use super::{HASH, Town, id, ids};
use crate::{Body, Change, GroupKind, PeopleChange, Reject, Role, view};
use schulhof_wire::DeviceId;

const SOURCE: &str = "list";

fn account(name: &str) -> PeopleChange {
    PeopleChange::Account {
        account: id(name),
        source: id(SOURCE),
        record: format!("4711-{name}"),
        login: name.into(),
        name: format!("{name} Muster"),
        role: Role::Pupil,
        password: HASH.into(),
    }
}

fn members(group: &str, add: &[&str], remove: &[&str]) -> PeopleChange {
    PeopleChange::Members { group: id(group), add: ids(add), remove: ids(remove) }
}

fn group(name: &str) -> PeopleChange {
    PeopleChange::Group { group: id(name), name: name.to_uppercase(), kind: GroupKind::Class }
}

impl Town {
    fn part(&mut self, import: &str, part: u32, changes: Vec<PeopleChange>) {
        self.ok("root", Body::ImportPart { import: id(import), part, changes });
    }

    fn import(&mut self, import: &str, changes: Vec<PeopleChange>) -> Vec<Change> {
        self.part(import, 0, changes);
        self.ok("root", Body::ImportApply { import: id(import), parts: 1 })
    }

    /// All but numbers of devices and the head.
    fn content(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let content = self.store.0.iter().filter(|(key, _)| !matches!(key[0], b'h' | b'd'));
        content.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn growth() -> Vec<PeopleChange> {
    vec![
        account("dora"),
        account("emil"),
        group("6a"),
        members("6a", &["dora", "emil", "tina"], &[]),
        members("5a", &[], &["ben"]),
        PeopleChange::Name { account: id("anna"), name: "Anna Neu".into() },
        PeopleChange::Role { account: id("tom"), role: Role::Admin },
        PeopleChange::Lock { account: id("carl"), locked: true },
    ]
}

#[test]
fn an_import_does_all_that_its_parts_say_and_tells_of_it() {
    let mut town = Town::new();
    let mut all = growth();
    let second = all.split_off(3);
    town.part("i1", 0, all);
    town.part("i1", 1, second);
    assert!(view::account(&town.store, &id("dora")).is_none(), "nothing before it is applied");
    let changes = town.ok("root", Body::ImportApply { import: id("i1"), parts: 2 });
    assert!(changes.contains(&Change::Account { account: id("carl") }));
    assert!(changes.contains(&Change::RoomGone { room: id("5a"), account: id("ben") }));
    let dora = view::account(&town.store, &id("dora")).unwrap();
    assert!(dora.first_password);
    assert_eq!(view::account(&town.store, &id("anna")).unwrap().name, "Anna Neu");
    assert_eq!(view::account(&town.store, &id("tom")).unwrap().role, Role::Admin);
    assert!(view::account(&town.store, &id("carl")).unwrap().locked);
    let source: DeviceId = id(SOURCE);
    assert_eq!(view::identities(&town.store, &source)["4711-emil"], id("emil"));
    let imports = view::imports(&town.store, &id("root")).unwrap();
    assert_eq!((imports[0].created, imports[0].changed, imports[0].locked), (2, 3, 1));
}

#[test]
fn undoing_it_restores_what_was() {
    let mut town = Town::new();
    town.post("ben", "5a", "before");
    town.read("ben", "5a", town.head());
    let before = town.content();
    town.import("i1", growth());
    assert_ne!(town.content(), before);
    town.ok("root", Body::ImportUndo { import: id("i1") });
    assert_eq!(town.content(), before);
    town.forbidden("root", Body::ImportUndo { import: id("i1") }, Reject::NotNewest);
}

#[test]
fn only_the_newest_import_can_be_undone_and_then_the_one_before() {
    let mut town = Town::new();
    let before = town.content();
    town.import("i1", vec![account("dora")]);
    town.import("i2", vec![account("emil")]);
    town.forbidden("root", Body::ImportUndo { import: id("i1") }, Reject::NotNewest);
    town.ok("root", Body::ImportUndo { import: id("i2") });
    town.ok("root", Body::ImportUndo { import: id("i1") });
    assert_eq!(town.content(), before);
}

#[test]
fn undoing_takes_nothing_from_people_who_have_begun() {
    let mut town = Town::new();
    town.import("i1", growth());
    town.ok("dora", Body::AccountPassword { account: id("dora"), password: HASH.into() });
    town.post("dora", "6a", "I am here");
    town.ok("tom", Body::RoomDirect { with: id("emil") });
    town.ok("root", Body::ImportUndo { import: id("i1") });
    // Who has signed in, or is written to by somebody, is locked; the class in which something was said stays.
    assert!(view::account(&town.store, &id("dora")).unwrap().locked);
    assert!(view::account(&town.store, &id("emil")).unwrap().locked);
    assert_eq!(view::groups(&town.store, &id("root")).iter().filter(|g| g.group == id("6a")).count(), 1);
}

#[test]
fn a_rule_that_forbids_the_last_change_forbids_all() {
    let mut town = Town::new();
    let bad = [
        (PeopleChange::Name { account: id("nobody"), name: "N".into() }, Reject::UnknownAccount),
        (PeopleChange::Name { account: id("anna"), name: " ".into() }, Reject::NameEmpty),
        (account("anna"), Reject::IdTaken),
        (account("dora"), Reject::RecordTaken),
        (members("9z", &["dora"], &[]), Reject::UnknownGroup),
        (PeopleChange::Lock { account: id("root"), locked: true }, Reject::OwnAccount),
        (PeopleChange::Role { account: id("root"), role: Role::Pupil }, Reject::OwnAccount),
    ];
    for (last, reject) in bad {
        town.part("i1", 0, vec![account("dora"), group("6a"), last]);
        // `Town::act` sees that nothing is left of it.
        town.forbidden("root", Body::ImportApply { import: id("i1"), parts: 1 }, reject);
    }
}

#[test]
fn parts_come_in_order_and_all_of_them() {
    let mut town = Town::new();
    let apply = |import: &str, parts| Body::ImportApply { import: id(import), parts };
    let part = |import: &str, part| Body::ImportPart { import: id(import), part, changes: vec![account("dora")] };
    town.forbidden("root", apply("i1", 1), Reject::BadImport);
    town.forbidden("root", part("i1", 1), Reject::BadImport);
    town.ok("root", part("i1", 0));
    town.forbidden("root", apply("i1", 0), Reject::BadImport);
    town.forbidden("root", apply("i1", 2), Reject::BadImport);
    town.ok("root", part("i1", 1));
    town.forbidden("root", apply("i1", 1), Reject::BadImport);
    // Another one forgets the first.
    town.ok("root", part("i2", 0));
    town.forbidden("root", apply("i1", 2), Reject::BadImport);
    town.forbidden("root", part("i3", crate::op::IMPORT_PARTS_MAX), Reject::BadImport);
    town.ok("root", apply("i2", 1));
}

#[test]
fn only_those_who_manage_accounts_import() {
    let mut town = Town::new();
    for actor in ["tina", "anna"] {
        let part = Body::ImportPart { import: id("i1"), part: 0, changes: vec![account("dora")] };
        town.forbidden(actor, part, Reject::NotAllowed);
        town.forbidden(actor, Body::ImportApply { import: id("i1"), parts: 1 }, Reject::NotAllowed);
        town.forbidden(actor, Body::ImportUndo { import: id("i1") }, Reject::NotAllowed);
        assert_eq!(view::imports(&town.store, &id(actor)), Err(Reject::NotAllowed));
    }
}

#[test]
fn who_has_a_first_password_changes_it_before_anything_else() {
    let mut town = Town::new();
    town.import("i1", vec![account("dora"), members("5a", &["dora"], &[])]);
    let post = Body::post(id("5a"), "hi");
    town.forbidden("dora", post.clone(), Reject::PasswordFirst);
    town.ok("root", Body::AccountPassword { account: id("dora"), password: HASH.into() });
    town.forbidden("dora", post.clone(), Reject::PasswordFirst);
    town.ok("dora", Body::AccountPassword { account: id("dora"), password: HASH.into() });
    town.ok("dora", post);
}

#[test]
fn a_school_of_two_thousand_is_applied_at_once_and_old_imports_are_forgotten() {
    let mut town = Town::new();
    for n in 0..2_000_u32 {
        if n % 500 == 0 {
            let all = (n..n + 500).map(|n| account(&format!("p{n}"))).collect();
            town.part("i1", n / 500, all);
        }
    }
    town.ok("root", Body::ImportApply { import: id("i1"), parts: 4 });
    assert_eq!(view::identities(&town.store, &id(SOURCE)).len(), 2_000);
    for n in 0..25 {
        town.import(&format!("j{n}"), vec![account(&format!("x{n}"))]);
    }
    assert_eq!(view::imports(&town.store, &id("root")).unwrap().len(), 20);
}
