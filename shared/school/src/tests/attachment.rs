use super::{Town, id};
use crate::{Attachment, Body, Reject, key, view};
use schulhof_wire::{BlobHash, blob::BLOB_LEN_MAX};

fn file(n: u8) -> Attachment {
    Attachment { hash: BlobHash([n; 32]), name: format!("Blatt {n}.pdf"), mime: "application/pdf".into(), size: 10 }
}

fn post(room: &str, text: &str, attachments: Vec<Attachment>) -> Body {
    Body::MessagePost { room: id(room), text: text.into(), attachments }
}

#[test]
fn attachments_stand_in_the_view_of_their_message() {
    let mut town = Town::new();
    town.post("anna", "5a", "before");
    town.ok("anna", post("5a", "here", vec![file(1), file(2)]));
    town.ok("ben", post("5a", "", vec![file(1)]));
    let page = view::messages(&town.store, &id("tina"), &id("5a"), None, 10).unwrap();
    let shown: Vec<usize> = page.items.iter().map(|message| message.attachments.len()).collect();
    assert_eq!(shown, [0, 2, 1]);
    assert_eq!(page.items[1].attachments[1], file(2));
    let last = view::room(&town.store, &id("tina"), &id("5a")).unwrap().last.unwrap();
    assert_eq!(last.attachments, [file(1)]);
}

#[test]
fn a_blob_is_for_members_of_rooms_that_name_it() {
    let mut town = Town::new();
    town.ok("anna", post("5a", "here", vec![file(1)]));
    let seen = |viewer, room, n| view::attachment(&town.store, &id(viewer), &id(room), &file(n).hash);
    assert_eq!(seen("ben", "5a", 1), Ok(Some(file(1))));
    assert_eq!(seen("carl", "5a", 1), Err(Reject::NotAMember));
    assert_eq!(seen("tina", "5b", 1), Ok(None), "a member of both rooms, but there nobody has sent it");
    assert_eq!(seen("ben", "5a", 2), Ok(None));
    assert_eq!(seen("nobody", "5a", 1), Err(Reject::UnknownActor));
}

#[test]
fn what_must_be_kept_is_listed_once_and_in_order() {
    let mut town = Town::new();
    town.ok("anna", post("5a", "", vec![file(9), file(3)]));
    town.ok("tina", post("5b", "", vec![file(3), file(5)]));
    town.forbidden("carl", post("5a", "", vec![file(7)]), Reject::NotAMember);
    let hashes = [3, 5, 9].map(|n| file(n).hash);
    assert_eq!(view::blobs_after(&town.store, None, 10), hashes);
    assert_eq!(view::blobs_after(&town.store, None, 2), hashes[..2]);
    assert_eq!(view::blobs_after(&town.store, Some(hashes[1]), 10), hashes[2..]);
    assert!(view::names_blob(&town.store, &hashes[0]) && !view::names_blob(&town.store, &file(7).hash));
}

#[test]
fn the_newest_of_each_room_come_first_and_are_bounded() {
    let mut town = Town::new();
    for n in 1..=4 {
        town.ok("anna", post("5a", "", vec![file(n)]));
    }
    town.ok("tina", post("5b", "", vec![file(9)]));
    let recent = |per_room, len| -> Vec<BlobHash> {
        view::recent_blobs(&town.store, per_room, len).into_iter().map(|(blob, _)| blob).collect()
    };
    assert_eq!(recent(2, 10), [9, 4, 3].map(|n| file(n).hash));
    assert_eq!(recent(2, 1), [file(9).hash]);
}

#[test]
fn attachments_are_few_named_and_of_a_bounded_size() {
    let mut town = Town::new();
    let with = |change: fn(&mut Attachment)| {
        let mut file = file(1);
        change(&mut file);
        post("5a", "x", vec![file])
    };
    town.ok("anna", with(|file| file.size = BLOB_LEN_MAX));
    town.ok("anna", with(|file| file.mime = "image/svg+xml".into()));
    for size in [0, BLOB_LEN_MAX + 1] {
        let mut large = file(1);
        large.size = size;
        town.forbidden("anna", post("5a", "x", vec![large]), Reject::AttachmentSize);
    }
    for name in ["", " ", "a/b", "a\\b", "..", "a\nb", &"a".repeat(121)] {
        let mut named = file(1);
        named.name = name.into();
        town.forbidden("anna", post("5a", "x", vec![named]), Reject::AttachmentName);
    }
    for mime in ["", "text", "text/", "/plain", "Text/plain", "text/plain; charset=x", "a/b/c", &"a/".repeat(100)] {
        let mut typed = file(1);
        typed.mime = mime.into();
        town.forbidden("anna", post("5a", "x", vec![typed]), Reject::AttachmentType);
    }
    town.ok("anna", post("5a", "x", vec![file(1); 10]));
    town.forbidden("anna", post("5a", "x", vec![file(1); 11]), Reject::TooManyAttachments);
    town.forbidden("anna", post("5a", "", vec![]), Reject::TextEmpty);
    town.forbidden("anna", post("5a", " ", vec![file(1)]), Reject::TextEmpty);
}

#[test]
fn a_message_without_attachments_adds_one_key() {
    let mut town = Town::new();
    town.post("anna", "5a", "1");
    let keys = town.store.0.len();
    town.post("anna", "5a", "2");
    assert_eq!(town.store.0.len(), keys + 1);
    town.ok("anna", post("5a", "", vec![file(1)]));
    assert_eq!(town.store.0.len(), keys + 4, "message, attachments, blob");
    assert!(town.store.0.contains_key(&key::blob_in(&file(1).hash, &id("5a"))));
}
