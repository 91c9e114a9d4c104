use super::{Town, id};
use crate::{Body, Change, Position, Reject, key, record, view};
use schulhof_testkit::Rng;
use schulhof_wire::{AccountId, LogIndex, RoomId};

#[test]
fn members_post_and_nobody_else() {
    let mut town = Town::new();
    let post = |room: &str| Body::post(id(room), "hi");
    let changes = town.ok("anna", post("5a"));
    assert_eq!(changes, vec![Change::Message { room: id("5a"), position: Position::Confirmed(town.head()) }]);
    town.forbidden("carl", post("5a"), Reject::NotAMember);
    town.forbidden("root", post("5a"), Reject::NotAMember);
    town.forbidden("operator", post("5a"), Reject::NotAllowed);
    town.forbidden("anna", post("nowhere"), Reject::UnknownRoom);
}

#[test]
fn texts_are_neither_empty_nor_endless_nor_full_of_control_characters() {
    let mut town = Town::new();
    let post = |text: &str| Body::post(id("5a"), text);
    town.ok("anna", post(&"ä".repeat(8 * 1024)));
    town.ok("anna", post("one\n\ttwo 👩‍🏫"));
    town.forbidden("anna", post(&"a".repeat(16 * 1024 + 1)), Reject::TextTooLong);
    for empty in ["", "  ", "\n\t", "\u{a0}"] {
        town.forbidden("anna", post(empty), Reject::TextEmpty);
    }
    for bad in ["a\u{0}", "a\r\nb", "\u{1b}[31m", "a\u{85}b", "a\u{7f}"] {
        town.forbidden("anna", post(bad), Reject::TextBadCharacter);
    }
}

#[test]
fn unread_counts_what_others_wrote_behind_the_mark() {
    let mut town = Town::new();
    let first = town.post("anna", "5a", "1");
    town.post("ben", "5a", "2");
    let third = town.post("anna", "5a", "3");
    assert_eq!((town.unread("anna", "5a"), town.unread("ben", "5a"), town.unread("tina", "5a")), (1, 2, 3));
    town.read("tina", "5a", first);
    assert_eq!(town.unread("tina", "5a"), 2);
    town.read("anna", "5a", first);
    assert_eq!(town.unread("anna", "5a"), 1, "the own third message does not count");
    town.read("anna", "5a", third);
    assert_eq!(town.unread("anna", "5a"), 0);
    town.post("ben", "5a", "4");
    assert_eq!(town.unread("anna", "5a"), 1);
}

#[test]
fn marks_move_forward_only_and_only_to_existing_entries() {
    let mut town = Town::new();
    let first = town.post("ben", "5a", "1");
    let second = town.post("ben", "5a", "2");
    town.read("anna", "5a", second);
    let back = town.ok("anna", Body::ReadMark { room: id("5a"), upto: first });
    assert_eq!(back, vec![]);
    assert_eq!(view::room(&town.store, &id("anna"), &id("5a")).unwrap().read_upto, second);
    let ahead = LogIndex(town.head().0 + 1);
    town.forbidden("anna", Body::ReadMark { room: id("5a"), upto: ahead }, Reject::UnknownIndex);
    town.forbidden("carl", Body::ReadMark { room: id("5a"), upto: first }, Reject::NotAMember);
    // An entry that is no message of this room marks those before it.
    town.post("ben", "5a", "3");
    let upto = town.head();
    town.ok("root", Body::SchoolName { name: "X".into() });
    town.read("anna", "5a", town.head());
    assert!(town.head() > upto);
    assert_eq!(town.unread("anna", "5a"), 0);
}

#[test]
fn what_was_written_before_joining_counts_as_read() {
    let mut town = Town::new();
    town.post("ben", "5a", "1");
    town.ok("root", Body::GroupMembers { group: id("5a"), add: vec![id("carl")], remove: vec![] });
    assert_eq!(town.unread("carl", "5a"), 0);
    let at = town.post("ben", "5a", "2");
    town.post("carl", "5a", "3");
    assert_eq!(town.unread("carl", "5a"), 1);
    town.read("carl", "5a", at);
    assert_eq!(town.unread("carl", "5a"), 0);
}

#[test]
fn counted_unread_equals_a_scan_of_the_room() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut town = Town::new();
        let people = ["anna", "ben", "tina"];
        let mut posts: Vec<(LogIndex, &str)> = Vec::new();
        for _ in 0..120 {
            let actor = *rng.pick(&people);
            if rng.chance(2, 3) {
                posts.push((town.post(actor, "5a", "x"), actor));
            } else {
                let upto = LogIndex(rng.between(1, town.head().0));
                town.read(actor, "5a", upto);
            }
            for reader in people {
                let mark = view::room(&town.store, &id(reader), &id("5a")).unwrap().read_upto;
                let expected = posts.iter().filter(|(at, author)| *at > mark && *author != reader).count();
                assert_eq!(town.unread(reader, "5a") as usize, expected, "seed {seed}");
            }
        }
    }
}

#[test]
fn pages_go_back_without_gaps_to_the_beginning() {
    let mut town = Town::new();
    let posted: Vec<LogIndex> = (0..25).map(|n| town.post("anna", "5a", &n.to_string())).collect();
    let (viewer, room): (AccountId, RoomId) = (id("ben"), id("5a"));
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = view::messages(&town.store, &viewer, &room, before, 10).unwrap();
        assert!(page.items.len() <= 10);
        let mut indexes: Vec<LogIndex> = page.items.iter().map(|message| message.index.unwrap()).collect();
        indexes.extend(seen);
        seen = indexes;
        match page.older {
            Some(older) => before = Some(older),
            None => break,
        }
    }
    assert_eq!(seen, posted);
    assert_eq!(view::messages(&town.store, &id("carl"), &room, None, 10).unwrap_err(), Reject::NotAMember);
    let all = view::messages(&town.store, &viewer, &room, None, 25).unwrap();
    assert_eq!((all.items.len(), all.older), (25, None));
    assert_eq!(all.items[3].author_name, "Anna");
}

#[test]
fn a_post_reads_and_writes_the_same_whatever_the_room_holds() {
    let mut town = Town::new();
    town.post("anna", "5a", "1");
    let keys = town.store.0.len();
    town.post("anna", "5a", "2");
    assert_eq!(town.store.0.len(), keys + 1, "a further post adds its message and nothing else");
    let room: record::Room = record::load(&town.store, &key::room(&id("5a"))).unwrap();
    assert_eq!(room.messages, 2);
}
