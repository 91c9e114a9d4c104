//! Blobs that messages name.

use super::account;
use crate::{
    apply::Position,
    key,
    op::Attachment,
    record::{self, Attachments},
    reject::Reject,
    rule,
    store::Kv,
};
use schulhof_wire::{AccountId, BlobHash, RoomId};

/// Messages of a room that are looked through for the name and type under which a blob was sent; further back it has none.
const ATTACHMENT_SCAN_MAX: usize = 5_000;

/// Blobs that some message names, from one on (without it), in order, at most `len`: what must be kept.
pub fn blobs_after(store: &(impl Kv + ?Sized), after: Option<BlobHash>, len: usize) -> Vec<BlobHash> {
    let (from, to) = key::blobs_from(&after.unwrap_or(BlobHash([0; 32])));
    let mut found = Vec::new();
    store.scan(&from, &to, false, &mut |key, _| {
        let hash = key::blob(key);
        if after != Some(hash) && found.last() != Some(&hash) {
            found.push(hash);
        }
        found.len() < len
    });
    found
}

/// Whether a message of whichever room names it.
pub fn names_blob(store: &(impl Kv + ?Sized), hash: &BlobHash) -> bool {
    let (from, to) = key::blobs_from(hash);
    let mut named = false;
    store.scan(&from, &to, false, &mut |key, _| {
        named = key::blob(key) == *hash;
        false
    });
    named
}

/// A blob as the newest message of a room brought it along, for the room's members. `None`: no message of the room names it.
pub fn attachment(
    store: &(impl Kv + ?Sized),
    viewer: &AccountId,
    room: &RoomId,
    hash: &BlobHash,
) -> Result<Option<Attachment>, Reject> {
    let viewing = account(store, viewer).ok_or(Reject::UnknownActor)?;
    if viewing.locked {
        return Err(Reject::AccountLocked);
    }
    rule::room(store, room)?;
    rule::member(store, room, viewer)?;
    if store.get(&key::blob_in(hash, room)).is_none() {
        return Ok(None);
    }
    let (from, to) = key::attachments_of(room);
    let (mut found, mut seen) = (None, 0);
    store.scan(&from, &to, true, &mut |_, value| {
        let Attachments(attachments) = record::decode(value);
        found = attachments.into_iter().find(|attachment| attachment.hash == *hash);
        seen += 1;
        found.is_none() && seen < ATTACHMENT_SCAN_MAX
    });
    let unnamed =
        || Attachment { hash: *hash, name: hash.to_string(), mime: "application/octet-stream".into(), size: 0 };
    Ok(Some(found.unwrap_or_else(unnamed)))
}

/// Blobs of the newest messages of each room, with their sizes, newest first: what people will look at next.
pub fn recent_blobs(store: &(impl Kv + ?Sized), per_room: usize, len: usize) -> Vec<(BlobHash, u64)> {
    let mut found: Vec<(Position, BlobHash, u64)> = Vec::new();
    for room in record::ids::<RoomId>(store, &key::rooms()) {
        let (from, to) = key::attachments_of(&room);
        let mut of_room = 0;
        store.scan(&from, &to, true, &mut |key, value| {
            let Attachments(attachments) = record::decode(value);
            of_room += attachments.len();
            let position = key::position(key);
            found.extend(attachments.into_iter().map(|attachment| (position, attachment.hash, attachment.size)));
            of_room < per_room
        });
    }
    found.sort_by(|(a, ..), (b, ..)| b.cmp(a));
    found.truncate(len);
    found.into_iter().map(|(_, blob, size)| (blob, size)).collect()
}
