use super::{Town, id, ids};
use crate::{Body, Change, Changes, Layered, Overlay, Position, Role, apply, view};
use schulhof_wire::LogIndex;

#[test]
fn pupils_see_staff_and_classmates_staff_see_everybody() {
    let mut town = Town::new();
    let names = |town: &Town, viewer: &str| -> Vec<(String, bool)> {
        view::people(&town.store, &id(viewer)).into_iter().map(|p| (p.account.to_string(), p.may_write)).collect()
    };
    let pair = |name: &str, may: bool| (name.to_owned(), may);
    assert_eq!(
        names(&town, "anna"),
        [pair("anna", false), pair("ben", true), pair("root", false), pair("tina", true), pair("tom", true)]
    );
    assert_eq!(names(&town, "tom").len(), 6);
    assert!(names(&town, "tom").iter().all(|(name, may)| *may == (name != "tom")));
    town.ok("root", Body::AccountLock { account: id("ben"), locked: true });
    assert!(!names(&town, "anna").contains(&pair("ben", true)));
    assert!(names(&town, "root").contains(&pair("ben", false)));
    let anna = &view::people(&town.store, &id("tina"))[0];
    assert_eq!((anna.groups.clone(), anna.role), (vec![id("5a")], Role::Pupil));
}

#[test]
fn room_lists_show_the_newest_first_with_their_last_message() {
    let mut town = Town::new();
    town.post("tina", "5a", "older");
    town.post("tina", "5b", "newer");
    let rooms = view::rooms(&town.store, &id("tina"));
    let shown: Vec<_> = rooms.iter().map(|r| (r.name.as_str(), r.last.as_ref().unwrap().text.as_str())).collect();
    assert_eq!(shown, [("Klasse 5b", "newer"), ("Klasse 5a", "older")]);
}

#[test]
fn waiting_messages_are_shown_without_any_number() {
    let mut town = Town::new();
    let confirmed: Vec<LogIndex> = (0..5).map(|n| town.post("anna", "5a", &n.to_string())).collect();
    let mut changes = Changes::default();
    for seq in 1..=3 {
        let mut op = town.op("ben", Body::post(id("5a"), format!("waiting {seq}")));
        op.seq = schulhof_wire::Seq(seq);
        apply(&mut Overlay { base: &town.store, changes: &mut changes }, Position::Pending(seq), &op);
    }
    let layered = Layered { base: &town.store, changes: &changes };
    assert_eq!(view::head(&layered), town.head());
    let page = view::messages(&layered, &id("anna"), &id("5a"), None, 4).unwrap();
    let shown: Vec<_> = page.items.iter().map(|m| (m.text.as_str(), m.index)).collect();
    assert_eq!(shown, [("4", Some(confirmed[4])), ("waiting 1", None), ("waiting 2", None), ("waiting 3", None)]);
    assert_eq!(page.older, Some(confirmed[4]), "the page always says where to go on");
    let page = view::messages(&layered, &id("anna"), &id("5a"), page.older, 2).unwrap();
    let shown: Vec<_> = page.items.iter().map(|m| m.text.as_str()).collect();
    assert_eq!((shown, page.older), (vec!["2", "3"], Some(confirmed[2])));
    let room = view::room(&layered, &id("anna"), &id("5a")).unwrap();
    assert_eq!(room.unread, 3);
    assert_eq!(room.last.unwrap().index, None);
    assert!(view::message_at(&layered, &id("anna"), &id("5a"), Position::Pending(2)).is_some());
    assert_eq!(view::message_at(&layered, &id("carl"), &id("5a"), Position::Pending(2)), None);
}

#[test]
fn changes_are_told_to_those_whom_they_concern() {
    let mut town = Town::new();
    let head = town.post("anna", "5a", "x");
    let message = Change::Message { room: id("5a"), position: Position::Confirmed(head) };
    assert_eq!(view::audience(&town.store, &message), ids(&["anna", "ben", "tina"]));
    let gone = Change::RoomGone { room: id("5a"), account: id("carl") };
    assert_eq!(view::audience(&town.store, &gone), ids(&["carl"]));
    let read = Change::Read { room: id("5a"), account: id("ben"), upto: head };
    assert_eq!(view::audience(&town.store, &read), ids(&["anna", "ben", "tina"]));
    let open = Body::ConferenceOpen { conference: id("c"), room: id("5b"), title: "X".into(), expected: None };
    town.ok("tina", open);
    let conference = Change::Conference { conference: id("c") };
    assert_eq!(view::audience(&town.store, &conference), ids(&["carl", "tina"]));
}

#[test]
fn equal_states_have_equal_hashes_and_any_difference_shows() {
    let mut town = Town::new();
    let other = town.clone();
    assert_eq!(view::state_hash(&town.store), view::state_hash(&other.store));
    town.post("anna", "5a", "x");
    assert_ne!(view::state_hash(&town.store), view::state_hash(&other.store));
}
