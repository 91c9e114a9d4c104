//! Messages and read marks. Posting costs the same in a room of ten and of ten million messages.

use crate::{
    apply::{Change, Position},
    key,
    op::{Attachment, Operation},
    record::{self, Attachments, Head, Member, Message, PRESENT, Room},
    reject::Reject,
    rule::{self, Acting},
    store::{Kv, KvMut},
};
use schulhof_wire::{AccountId, LogIndex, RoomId};

/// Most messages that one read mark looks through for own ones. It looks at the shorter side of the mark, so that more are
/// in question only for who has both: over this many read at once, and over this many still unread. Then own messages
/// further back count as unread, until the next mark.
const OWN_SCAN_MAX: u64 = 500;

pub struct New<'a> {
    pub room: &'a RoomId,
    pub text: &'a str,
    pub attachments: &'a [Attachment],
}

pub fn post(
    store: &mut impl KvMut,
    acting: &Acting,
    position: Position,
    op: &Operation,
    &New { room: id, text, attachments }: &New<'_>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let (author, role) = acting.person()?;
    rule::attachments(attachments)?;
    if !text.is_empty() || attachments.is_empty() {
        rule::text(text)?;
    }
    let mut room = rule::room(store, id)?;
    let mut member = rule::member(store, id, author)?;
    if !rule::may_post(store, &room, (author, role)) {
        return Err(Reject::MayNotWrite);
    }
    room.messages += 1;
    member.own_after += 1;
    let message = Message {
        ordinal: room.messages,
        device: op.device.clone(),
        seq: op.seq,
        author: author.clone(),
        at: op.at,
        text: text.into(),
    };
    record::save(store, &key::message(id, position), &message);
    if !attachments.is_empty() {
        record::save(store, &key::attachments(id, position), &Attachments(attachments.to_vec()));
        for attachment in attachments {
            store.put(&key::blob_in(&attachment.hash, id), PRESENT);
        }
    }
    record::save(store, &key::room(id), &room);
    record::save(store, &key::member(id, author), &member);
    changes.push(Change::Message { room: id.clone(), position });
    Ok(())
}

/// A mark that is not further than the one before is accepted and changes nothing: devices of one person overtake each other.
pub fn mark_read(
    store: &mut impl KvMut,
    acting: &Acting,
    id: &RoomId,
    upto: LogIndex,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let (account, _) = acting.person()?;
    let room = rule::room(store, id)?;
    let mut member = rule::member(store, id, account)?;
    let head = record::load::<Head>(store, key::HEAD).map_or(LogIndex(0), |head| head.0);
    if upto > head {
        return Err(Reject::UnknownIndex);
    }
    if upto <= member.read_upto {
        return Ok(());
    }
    member.read_upto = upto;
    let read = record::newest_message(store, &key::messages_upto(id, upto)).map_or(0, |(_, message)| message.ordinal);
    if read > member.read_messages {
        member.own_after = own_after(store, id, account, (&room, &member), (upto, read));
        member.read_messages = read;
    }
    record::save(store, &key::member(id, account), &member);
    changes.push(Change::Read { room: id.clone(), account: account.clone(), upto });
    Ok(())
}

/// How many own messages come after a mark that moves to `upto`, the place of the message with the ordinal `read`.
fn own_after(
    store: &impl Kv,
    id: &RoomId,
    account: &AccountId,
    (room, member): (&Room, &Member),
    (upto, read): (LogIndex, u64),
) -> u64 {
    let newly_read = read - member.read_messages;
    let unread = room.messages - read;
    if member.own_after == 0 || unread == 0 {
        0
    } else if newly_read < unread && newly_read <= OWN_SCAN_MAX {
        // Saturating: after a mark that could not look at everything the count may be too low.
        member.own_after.saturating_sub(own_among(store, &key::messages_upto(id, upto), account, newly_read))
    } else {
        own_among(store, &key::messages(id), account, unread.min(OWN_SCAN_MAX))
    }
}

/// Own messages among the newest `len` of a range.
fn own_among(store: &impl Kv, (from, to): &key::Range, account: &AccountId, len: u64) -> u64 {
    let (mut own, mut seen) = (0, 0);
    store.scan(from, to, true, &mut |_, value| {
        own += u64::from(record::decode::<Message>(value).author == *account);
        seen += 1;
        seen < len
    });
    own
}
