//! One stream: hello, then operations up and entries down, until somebody ends it or the lead is lost.
//!
//! The rules of the conversation are in [`CoreSession`]; here are the stream, Raft and the clock.

use super::{Door, count_refused, snapshot::Sending};
use crate::{
    meta::View,
    raft::{
        GroupHandle,
        reads::{self, Lead},
        types::{Answer, Command, Epoch, Group, META, NodeId, OperationAnswer, TypeConfig},
    },
};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use openraft::{async_runtime::WatchReceiver, errors::ClientWriteError, raft::WriteResult};
use schulhof_net::quic::{FrameError, FrameReader, FrameWriter};
use schulhof_school::{Actor, Envelope};
use schulhof_sync::{Batch, CoreSession, Peer, Refusal, core_end};
use schulhof_wire::{
    LogIndex, SchoolId,
    live::RESUME_LEN_MAX,
    node::{Entry, ToBox, ToCore},
};
use std::{io, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Whoever opens a stream says hello at once.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// A peer that takes no frame for this long is given up: it connects again when it can read.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// A new leader knows within this time how far the log goes, or it is none.
const READ_INDEX_MAX: Duration = Duration::from_secs(3);
/// An election is over by then.
const ELECTION_MAX: Duration = Duration::from_secs(4);
/// The last frame of a stream reaches the peer in this time, or never.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// When this node has too much under way.
const BUSY_RETRY_MS: u32 = 500;
/// When the disk is nearly full: somebody must make room.
const DISK_FULL_RETRY_MS: u32 = 5_000;
/// When operations were missing before those of a batch: they are under way, or are sent anew with it.
const GAP_RETRY_MS: u32 = 100;
/// When the school is on its way to another group: it is served there in a moment.
const MOVED_RETRY_MS: u32 = 200;

/// How a session ends.
enum End {
    /// With a last frame.
    Say(ToBox),
    /// The peer has gone, or nothing can be said to it.
    Gone,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Say(refusal.0)
    }
}

fn refuse(code: &str, detail: impl Into<String>) -> End {
    End::Say(ToBox::Refused { code: code.into(), detail: detail.into() })
}

/// What became of a proposed batch.
enum Proposed {
    Committed,
    Gap,
    Moved,
    NotLeader(Option<NodeId>),
    Failed(String),
}

type Proposals = FuturesUnordered<BoxFuture<'static, (u64, Proposed)>>;

/// Runs the session; returns whether the peer was refused.
pub async fn run(door: &Door, who: &Peer, send: quinn::SendStream, receive: quinn::RecvStream) -> bool {
    let mut reader = FrameReader::new(receive);
    let mut writer = FrameWriter::new(send);
    let end = match converse(door, who, &mut reader, &mut writer).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    let End::Say(frame) = end else { return false };
    let refused = match &frame {
        ToBox::Refused { code, detail } => {
            count_refused(code);
            tracing::warn!(?who, code, detail, "refused at the sync door");
            true
        }
        _ => false,
    };
    let farewell = async {
        if writer.write(&frame).await.is_ok() {
            writer.delivered().await;
        }
    };
    let _ = timeout(FAREWELL_MAX, farewell).await;
    refused
}

async fn converse(
    door: &Door,
    who: &Peer,
    reader: &mut FrameReader<ToCore>,
    writer: &mut FrameWriter<ToBox>,
) -> Result<std::convert::Infallible, End> {
    let hello = match timeout(HELLO_MAX, reader.read()).await {
        Ok(frame) => read(frame)?,
        Err(_) => return Err(refuse("malformed", "no hello came")),
    };
    // First what is wrong on every node: there a redirect would not help.
    let offer = CoreSession::accept(&hello, who, LogIndex(1), LogIndex(u64::MAX))?;
    let (school, version) = (offer.school().clone(), offer.version());
    let mut view = door.view.clone();
    let (group, epoch) = find(door, &mut view, &school).await?;
    let (Some(handle), Some(mut answered)) = (door.groups.get(group), door.standing.answered(group)) else {
        return Err(End::Say(ToBox::Redirect { leader: None }));
    };

    // Nothing is said before this node knows that it leads, and has applied all that was committed before.
    // While there is an election whoever waits here costs less than whoever comes again and again.
    reads::until_led(&handle.raft, ELECTION_MAX).await;
    let vote = match timeout(READ_INDEX_MAX, handle.reads.lead(&handle.raft)).await {
        Ok(Lead::Own(vote)) => vote,
        Ok(Lead::Other(leader)) => return Err(End::Say(door.redirect(version, leader))),
        Ok(Lead::Unknown(e)) => {
            tracing::debug!(%school, "no linearizable read: {e}");
            return Err(End::Say(ToBox::Redirect { leader: None }));
        }
        Err(_) => return Err(End::Say(ToBox::Redirect { leader: None })),
    };
    // What this node knows of the school's place may be old; the group itself knows whether it serves it.
    if !blocking(handle, crate::state::Store::place, &school).await?.serves(epoch) {
        return Err(End::Say(ToBox::Redirect { leader: None }));
    }
    let mut head = blocking(handle, crate::state::Store::head, &school).await?;
    let first = blocking(handle, crate::state::Store::first_kept, &school).await?;
    let mut session = CoreSession::accept(&hello, who, first, *head.borrow_and_update())?;
    let mut loading =
        if session.wants_snapshot() { Some(load(door, handle, (group, &school), first).await?) } else { None };
    let present = matches!(who, Peer::Box(_)).then(|| door.present.enter(&school, session.cursor()));
    tracing::info!(?who, %school, after = session.cursor().0, head = head.borrow().0, "a sync session begins");

    let mut proposals = Proposals::new();
    let mut server = handle.raft.server_metrics();
    let mut entries: Option<Vec<Entry>> = None;
    loop {
        loop {
            if entries.is_none() && session.lag() > 0 {
                entries = Some(next_entries(handle, &school, session.cursor()).await?);
            }
            let Some(frame) = session.poll_transmit(|_, _| entries.take().unwrap_or_default()) else { break };
            say(writer, &frame).await?;
            if let Some(present) = &present {
                present.sent(session.cursor());
            }
        }
        if let Some(sending) = &mut loading
            && !send_part(door, sending, handle, &mut session, writer).await?
        {
            loading = None;
        }
        tokio::select! {
            // Between chunks the peer is listened to.
            () = std::future::ready(()), if loading.is_some() => {}
            frame = reader.read() => {
                if let Some(batch) = session.receive(read(frame)?)? {
                    propose(door, who, handle, (&school, epoch), batch, &mut session, &mut proposals).await?;
                }
            }
            Some((batch, proposed)) = proposals.next(), if !proposals.is_empty() => match proposed {
                Proposed::Committed => session.committed(batch),
                Proposed::Gap => session.busy(batch, GAP_RETRY_MS),
                // The session ends when this node knows where the school is now.
                Proposed::Moved => session.busy(batch, MOVED_RETRY_MS),
                Proposed::NotLeader(leader) => return Err(End::Say(door.redirect(version, leader))),
                Proposed::Failed(detail) => {
                    tracing::error!(%school, "a batch was not committed: {detail}");
                    return Err(End::Say(ToBox::Redirect { leader: None }));
                }
            },
            changed = head.changed() => match changed {
                Ok(()) => session.head_moved(*head.borrow_and_update()),
                Err(_) => return Err(End::Gone),
            },
            changed = view.changed() => {
                let place = view.borrow_and_update().schools.get(&school).map(|school| (school.group, school.epoch));
                if changed.is_err() || place != Some((group, epoch)) {
                    let leader = place.and_then(|(group, _)| leads(door, group));
                    return Err(End::Say(door.redirect(version, leader)));
                }
            }
            changed = server.changed() => {
                let (leader, holds) = {
                    let server = server.borrow_watched();
                    (server.current_leader, server.vote == vote)
                };
                if changed.is_err() || !holds {
                    let other = leader.filter(|id| *id != door.groups.peers().own());
                    return Err(End::Say(door.redirect(version, other)));
                }
            }
            () = unanswered(&mut answered) => return Err(End::Say(ToBox::Redirect { leader: None })),
        }
    }
}

async fn unanswered(answered: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = answered.wait_for(|answered| !answered).await;
}

/// Which group holds the school, and at which epoch. This node may be behind: that a school is not known is said only after a
/// look at all that was decided before.
async fn find(
    door: &Door,
    view: &mut tokio::sync::watch::Receiver<Arc<View>>,
    school: &SchoolId,
) -> Result<(Group, Epoch), End> {
    let mut place = || view.borrow_and_update().schools.get(school).map(|school| (school.group, school.epoch));
    if let Some(found) = place() {
        return Ok(found);
    }
    match timeout(READ_INDEX_MAX, door.groups.catch_up(META)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(End::Say(ToBox::Redirect { leader: None })),
    }
    match place() {
        Some(found) => Ok(found),
        None if !door.view.borrow().has_begun() => Err(End::Say(ToBox::Redirect { leader: None })),
        None => Err(refuse("unknown-school", format!("{school} is not served here"))),
    }
}

/// Which node leads the group, as far as this one knows.
fn leads(door: &Door, group: Group) -> Option<NodeId> {
    door.groups.get(group)?.raft.server_metrics().borrow_watched().current_leader
}

fn read(frame: Result<Option<ToCore>, FrameError>) -> Result<ToCore, End> {
    match frame {
        Ok(Some(frame)) => Ok(frame),
        Err(e) if e.is_malformed() => Err(refuse("malformed", e.to_string())),
        Ok(None) | Err(_) => Err(End::Gone),
    }
}

async fn blocking<R: Send + 'static>(
    handle: &GroupHandle,
    work: impl FnOnce(&crate::state::Store, &SchoolId) -> io::Result<R> + Send + 'static,
    school: &SchoolId,
) -> Result<R, End> {
    let (store, named) = (handle.store.clone(), school.clone());
    let result = tokio::task::spawn_blocking(move || work(&store, &named)).await.map_err(io::Error::other);
    result.and_then(|result| result).map_err(|e| unreadable(school, &e))
}

fn unreadable(school: &SchoolId, error: &io::Error) -> End {
    tracing::error!(%school, "the state cannot be read: {error}");
    End::Say(ToBox::Redirect { leader: None })
}

async fn say(writer: &mut FrameWriter<ToBox>, frame: &ToBox) -> Result<(), End> {
    match timeout(WRITE_MAX, writer.write(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// What a peer gets next, one entry at least: from memory, where the last entries are, else from the file.
async fn next_entries(handle: &GroupHandle, school: &SchoolId, after: LogIndex) -> Result<Vec<Entry>, End> {
    use core_end::{ENTRIES_BYTES_MAX, ENTRIES_LEN_MAX};
    if let Some(recent) = handle.store.recent(school, after, ENTRIES_LEN_MAX, ENTRIES_BYTES_MAX) {
        return Ok(recent);
    }
    let read = move |store: &crate::state::Store, school: &SchoolId| {
        store.entries(school, after, ENTRIES_LEN_MAX, ENTRIES_BYTES_MAX)
    };
    let entries = blocking(handle, read, school).await?;
    if entries.first().is_none_or(|entry| entry.index.0 != after.0 + 1) {
        // They were deleted before this peer took them: it comes again, and gets the state.
        tracing::info!(%school, after = after.0, "a session has fallen behind what is kept");
        return Err(End::Say(ToBox::Redirect { leader: None }));
    }
    Ok(entries)
}

/// The next chunk of the school's state; after the last what was rejected before it. Tells whether there is more.
async fn send_part(
    door: &Door,
    sending: &mut Sending,
    handle: &GroupHandle,
    session: &mut CoreSession,
    writer: &mut FrameWriter<ToBox>,
) -> Result<bool, End> {
    let school = session.school().clone();
    let next = sending.next(&door.snapshots, handle, &school).await;
    if let Some(chunk) = next.map_err(|e| unreadable(&school, &e))? {
        say(writer, &session.snapshot(&chunk)).await?;
        return Ok(true);
    }
    let upto = session.cursor();
    let read =
        move |store: &crate::state::Store, school: &SchoolId| store.rejected_before(school, upto, RESUME_LEN_MAX);
    let rejected = blocking(handle, read, &school).await?;
    say(writer, &session.verdicts(rejected)).await?;
    Ok(false)
}

async fn load(
    door: &Door,
    handle: &GroupHandle,
    (group, school): (Group, &SchoolId),
    first: LogIndex,
) -> Result<Sending, End> {
    let head = *blocking(handle, crate::state::Store::head, school).await?.borrow();
    let stored = door.snapshots.usable(group, school, first, head).await;
    let sending = Sending::begin(&door.dumps, handle, school, stored).await.map_err(|e| unreadable(school, &e))?;
    sending.ok_or(End::Say(ToBox::Redirect { leader: None }))
}

/// Takes a batch to Raft, in the order in which batches come.
async fn propose(
    door: &Door,
    who: &Peer,
    handle: &GroupHandle,
    (school, epoch): (&SchoolId, Epoch),
    Batch { batch, operations }: Batch,
    session: &mut CoreSession,
    proposals: &mut Proposals,
) -> Result<(), End> {
    // That a box's operation is no operator's was checked; an operator in turn speaks for no account.
    if *who == Peer::Operator {
        for operation in &operations {
            let envelope = Envelope::decode(&operation.0).map_err(|e| refuse("malformed", e.to_string()))?;
            if envelope.actor != Actor::Operator {
                return Err(refuse("malformed", "an operator does not act as an account"));
            }
        }
    }
    if !door.groups.space().has_room() {
        count_refused("disk-full");
        session.busy(batch, DISK_FULL_RETRY_MS);
        return Ok(());
    }
    let kib = operations.iter().map(|operation| operation.0.len()).sum::<usize>().div_ceil(1024) as u32;
    let Ok(permit) = door.in_flight.clone().try_acquire_many_owned(kib) else {
        count_refused("busy");
        session.busy(batch, BUSY_RETRY_MS);
        return Ok(());
    };
    metrics::histogram!("schulhof_core_batch_size").record(operations.len() as f64);
    let proposal = Command::Operations { school: school.clone(), epoch, operations: Arc::new(operations) };
    let answers = handle.raft.client_write_many([proposal]).await.map_err(|e| {
        tracing::error!(%school, "a batch was not taken: {e}");
        End::Say(ToBox::Redirect { leader: None })
    })?;
    let answered = async move {
        let proposed = outcome(answers).await;
        drop(permit);
        (batch, proposed)
    };
    proposals.push(answered.boxed());
    Ok(())
}

type Answers = BoxStream<'static, Result<WriteResult<TypeConfig>, openraft::errors::Fatal<TypeConfig>>>;

async fn outcome(mut answers: Answers) -> Proposed {
    match answers.next().await {
        Some(Ok(Ok(written))) => match written.response {
            Answer::Operations(answers)
                if answers.iter().any(|answer| matches!(answer, OperationAnswer::Gap { .. })) =>
            {
                Proposed::Gap
            }
            Answer::Operations(_) => Proposed::Committed,
            Answer::Moved => Proposed::Moved,
            other => Proposed::Failed(format!("the group answered {other}")),
        },
        Some(Ok(Err(ClientWriteError::ForwardToLeader(forward)))) => Proposed::NotLeader(forward.leader_id),
        Some(Ok(Err(e))) => Proposed::Failed(e.to_string()),
        Some(Err(e)) => Proposed::Failed(e.to_string()),
        None => Proposed::Failed("Raft has stopped".into()),
    }
}
