use super::{Town, id, ids};
use crate::{Body, Change, GroupKind, Reject, Role, view};
use schulhof_wire::AccountId;

fn create(room: &str, members: &[&str]) -> Body {
    Body::RoomCreate { room: id(room), name: "Ausflug".into(), members: ids(members) }
}

fn members(room: &str, add: &[&str], remove: &[&str]) -> Body {
    Body::RoomMembers { room: id(room), add: ids(add), remove: ids(remove) }
}

#[test]
fn teachers_and_admins_open_free_rooms_and_are_in_them() {
    let mut town = Town::new();
    town.ok("tom", create("trip", &["anna", "carl", "anna"]));
    town.ok("root", create("plan", &[]));
    assert_eq!(view::members(&town.store, &id("trip")), ids(&["anna", "carl", "tom"]));
    assert_eq!(view::room(&town.store, &id("anna"), &id("trip")).unwrap().members, 3);
    town.forbidden("anna", create("own", &["ben"]), Reject::NotAllowed);
    town.forbidden("operator", create("own", &["ben"]), Reject::NotAllowed);
    town.forbidden("tom", create("trip", &[]), Reject::IdTaken);
    town.forbidden("tom", create("5a", &[]), Reject::IdTaken);
    town.forbidden("tom", create("direct:abc", &[]), Reject::IdReserved);
    town.forbidden("tom", create("x", &["nobody"]), Reject::UnknownAccount);
    let many: Vec<AccountId> = (0..2_001).map(|n| id(&format!("p{n}"))).collect();
    town.forbidden("tom", Body::RoomCreate { room: id("x"), name: "N".into(), members: many }, Reject::TooManyMembers);
}

#[test]
fn members_of_a_free_room_are_changed_by_staff_in_it_and_everyone_may_leave() {
    let mut town = Town::new();
    town.ok("tom", create("trip", &["anna", "carl"]));
    town.forbidden("tina", members("trip", &["ben"], &[]), Reject::NotAMember);
    town.forbidden("anna", members("trip", &["ben"], &[]), Reject::NotAllowed);
    town.forbidden("anna", members("trip", &[], &["carl"]), Reject::NotAllowed);
    let changes = town.ok("anna", members("trip", &[], &["anna"]));
    assert!(changes.contains(&Change::RoomGone { room: id("trip"), account: id("anna") }));
    assert_eq!(view::room(&town.store, &id("anna"), &id("trip")), Err(Reject::NotAMember));
    assert!(view::rooms(&town.store, &id("anna")).iter().all(|room| room.room != id("trip")));
    town.ok("tom", members("trip", &["ben", "ben", "carl"], &["carl", "anna"]));
    assert_eq!(view::members(&town.store, &id("trip")), ids(&["ben", "carl", "tom"]));
    assert_eq!(view::room(&town.store, &id("tom"), &id("trip")).unwrap().members, 3);
    town.forbidden("tom", members("nowhere", &[], &[]), Reject::UnknownRoom);
}

#[test]
fn a_groups_room_follows_the_group() {
    let mut town = Town::new();
    let group =
        |add: &[&str], remove: &[&str]| Body::GroupMembers { group: id("5a"), add: ids(add), remove: ids(remove) };
    town.ok("root", group(&["carl"], &["ben"]));
    assert_eq!(view::members(&town.store, &id("5a")), ids(&["anna", "carl", "tina"]));
    let names = |viewer: &str| -> Vec<String> {
        view::groups(&town.store, &id(viewer)).into_iter().map(|group| group.name).collect()
    };
    assert_eq!(names("carl"), ["Klasse 5a", "Klasse 5b"]);
    assert_eq!(names("ben"), Vec::<String>::new());
    assert_eq!(names("tom"), ["Klasse 5a", "Klasse 5b"]);
    town.forbidden("tina", members("5a", &["ben"], &[]), Reject::MembersFixed);
    town.forbidden("anna", members("5a", &[], &["anna"]), Reject::MembersFixed);
    let again = Body::GroupCreate { group: id("5a"), name: "X".into(), kind: GroupKind::Course };
    town.forbidden("root", again, Reject::IdTaken);
    let nowhere = Body::GroupMembers { group: id("9z"), add: vec![], remove: vec![] };
    town.forbidden("root", nowhere, Reject::UnknownGroup);
}

#[test]
fn pupils_write_directly_to_teachers_and_classmates_teachers_to_anybody() {
    let mut town = Town::new();
    let direct = |with: &str| Body::RoomDirect { with: id(with) };
    town.ok("anna", direct("tom"));
    town.ok("anna", direct("ben"));
    town.forbidden("anna", direct("carl"), Reject::MayNotWrite);
    town.forbidden("anna", direct("root"), Reject::MayNotWrite);
    town.forbidden("anna", direct("anna"), Reject::DirectWithSelf);
    town.forbidden("anna", direct("nobody"), Reject::UnknownAccount);
    town.ok("tom", direct("carl"));
    town.ok("root", direct("anna"));
    let room = Town::room_of("anna", "root");
    town.post("anna", &room, "An answer to an admin is allowed");
    let view = view::room(&town.store, &id("anna"), &id(&room)).unwrap();
    assert_eq!((view.name.as_str(), view.with), ("Root", Some(id("root"))));
}

#[test]
fn both_ends_may_create_the_same_direct_room() {
    let mut town = Town::new();
    assert_eq!(town.ok("anna", Body::RoomDirect { with: id("ben") }).len(), 1);
    let room = Town::room_of("anna", "ben");
    town.post("anna", &room, "hi");
    assert_eq!(town.ok("ben", Body::RoomDirect { with: id("anna") }), vec![]);
    assert_eq!(town.unread("ben", &room), 1);
    assert_eq!(view::members(&town.store, &id(&room)).len(), 2);
}

#[test]
fn former_classmates_keep_their_room_but_write_no_more() {
    let mut town = Town::new();
    town.ok("anna", Body::RoomDirect { with: id("ben") });
    let room = Town::room_of("anna", "ben");
    town.post("anna", &room, "hi");
    town.ok("root", Body::GroupMembers { group: id("5a"), add: vec![], remove: vec![id("ben")] });
    town.forbidden("anna", Body::post(id(&room), "still?"), Reject::MayNotWrite);
    let view = view::room(&town.store, &id("ben"), &id(&room)).unwrap();
    assert!(!view.may_write && view.unread == 1);
}

#[test]
fn two_thousand_members_join_in_one_operation_that_fits_the_log() {
    let mut town = Town::new();
    let names: Vec<String> = (0..2_000).map(|n| format!("pupil-of-the-school-{n:06}")).collect();
    for name in &names {
        town.ok("operator", Town::account(name, Role::Pupil));
    }
    let add: Vec<AccountId> = names.iter().map(|name| id(name)).collect();
    let body = Body::GroupMembers { group: id("5a"), add, remove: vec![] };
    assert!(town.op("root", body.clone()).encode().len() <= schulhof_wire::node::OPERATION_LEN_MAX);
    town.ok("root", body);
    assert_eq!(view::room(&town.store, &id("anna"), &id("5a")).unwrap().members, 2_003);
}
