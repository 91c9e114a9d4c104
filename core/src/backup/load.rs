//! A school back into its group, chunk by chunk through the group's log.
//!
//! It is loaded at the epoch behind the one that the meta group knows: nothing that boxes propose is taken meanwhile, nor
//! afterwards until the operator has the meta group told ([`super::Door::serve_again`]). So a school is served with all of its
//! data or not at all, whichever end dies in between; loading anew begins with chunk 0.

use super::{BUSY_RETRY_MS, Door, refused};
use crate::{
    raft::types::{Answer, Command, Epoch, Group, Loaded},
    state::place::Stage,
};
use schulhof_net::quic::{FrameReader, FrameWriter};
use schulhof_wire::{
    BlobHash, LogIndex, SchoolId,
    backup::{FromCore, ToCore},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// An operator that sends no chunk for this long is given up.
const CHUNK_MAX: Duration = Duration::from_secs(30);
const WRITE_MAX: Duration = Duration::from_secs(10);

/// What was found before the first chunk.
struct Target {
    group: Group,
    /// At which it is loaded.
    epoch: Epoch,
}

/// The error is the last frame of the stream; `None`: the operator is gone.
pub async fn load(
    door: &Door,
    school: &SchoolId,
    replace: bool,
    reader: &mut FrameReader<ToCore>,
    writer: &mut FrameWriter<FromCore>,
) -> Option<FromCore> {
    let target = match prepare(door, school, replace).await {
        Ok(target) => target,
        Err(instead) => return Some(instead),
    };
    match timeout(WRITE_MAX, writer.write(&FromCore::Ready)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return None,
    }
    tracing::info!(%school, group = target.group.0, epoch = target.epoch.0, "a school is loaded");
    for number in 0.. {
        let bytes = match timeout(CHUNK_MAX, reader.read()).await {
            Ok(Ok(Some(ToCore::Chunk { bytes }))) => bytes,
            Ok(Ok(Some(_))) => return Some(refused("malformed", "a chunk was expected")),
            Ok(Err(e)) if e.is_malformed() => return Some(refused("malformed", e.to_string())),
            Ok(Ok(None) | Err(_)) | Err(_) => return None,
        };
        let chunk = Arc::new(bytes);
        let command = Command::Load { school: school.clone(), epoch: target.epoch, number, chunk };
        match door.groups.propose(target.group, command).await {
            Ok(Answer::Loaded(Loaded::Next(next))) if next == number + 1 => {}
            Ok(Answer::Loaded(Loaded::Whole)) => return Some(whole(door, school, &target).await),
            Ok(Answer::Loaded(Loaded::Damaged(detail))) => return Some(refused("damaged", detail)),
            Ok(Answer::Loaded(Loaded::Next(_))) => return Some(refused("not-in-order", "somebody else loads it, too")),
            Ok(Answer::Moved) => return Some(refused("moved", format!("{school} has got another place meanwhile"))),
            Ok(other) => return Some(refused("internal", format!("the group answered {other}"))),
            Err(e) => return Some(door.instead(&e)),
        }
    }
    None
}

/// Where it goes, if nothing is there that would be lost.
async fn prepare(door: &Door, school: &SchoolId, replace: bool) -> Result<Target, FromCore> {
    let (group, known) = door.find(school).await?;
    door.groups.confirm(group).await.map_err(|e| door.instead(&e))?;
    let store = door.groups.get(group).ok_or_else(|| door.redirect(None))?.store.clone();
    let named = school.clone();
    let found =
        tokio::task::spawn_blocking(move || Ok::<_, std::io::Error>((store.place(&named)?, store.kept(&named)?.0)));
    let (place, head) = match found.await {
        Ok(Ok(found)) => found,
        Ok(Err(e)) => return Err(unreadable(door, school, &e)),
        Err(e) => return Err(unreadable(door, school, &e)),
    };
    // Above what the meta group knows: loaded before, whole or in part, and it was not told. Nothing else is served up there.
    let target = |epoch| Ok(Target { group, epoch });
    match place.stage {
        Stage::Loading { .. } if place.epoch > known => target(place.epoch),
        Stage::Served if place.epoch > known && !replace => target(place.epoch),
        Stage::Served if place.epoch <= known && head == LogIndex(0) => target(known.next()),
        Stage::Sealed if replace => target(place.epoch.next()),
        Stage::Served if replace => {
            match door.groups.propose(group, Command::Seal { school: school.clone(), epoch: place.epoch }).await {
                Ok(Answer::Sealed { head }) => {
                    tracing::warn!(%school, head = head.0, "a school is sealed, to be replaced by a backup");
                    target(place.epoch.next())
                }
                Ok(_) => Err(refused("moved", format!("{school} has got another place meanwhile"))),
                Err(e) => Err(door.instead(&e)),
            }
        }
        Stage::Served | Stage::Sealed => {
            Err(refused("not-empty", format!("{school} has data here, up to entry {}", head.0)))
        }
        Stage::Loading { .. } | Stage::Gone => {
            Err(refused("moved", format!("{school} is on its way to or from another group")))
        }
    }
}

fn unreadable(door: &Door, school: &SchoolId, error: &dyn std::fmt::Display) -> FromCore {
    tracing::error!(%school, "the state cannot be read: {error}");
    door.redirect(None)
}

/// What stands here now, computed anew.
async fn whole(door: &Door, school: &SchoolId, target: &Target) -> FromCore {
    let Some(handle) = door.groups.get(target.group) else { return FromCore::Busy { retry_after_ms: BUSY_RETRY_MS } };
    let (store, named) = (handle.store.clone(), school.clone());
    let read = move || Ok::<_, std::io::Error>((store.kept(&named)?.0, store.state_hash(&named)?));
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok((head, hash))) => FromCore::Loaded { epoch: target.epoch.0, head, state_hash: BlobHash(hash) },
        Ok(Err(e)) => unreadable(door, school, &e),
        Err(e) => unreadable(door, school, &e),
    }
}
