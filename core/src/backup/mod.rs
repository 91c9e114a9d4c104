//! The backup door (ALPN `schulhof-backup/1`, PROTOCOL.md section 3.9): operators, to whole schools.
//!
//! What this is: a school's dump on a stream, read in one transaction while writing goes on; and a dump back into a school that has no
//! data. What it must not do: answer anybody but an operator, hold a dump open for a reader that does not read (redb keeps the
//! pages of that moment for it), or serve a school that is not loaded to its end.
//!
//! - `dump`: out of the state
//! - `load`: back, through the log of the school's group
//! - `enrolment`: the CA, invitations and boxes, both ways

mod dump;
mod enrolment;
mod load;

use crate::{
    door::count_refused,
    meta::{MetaAnswer, MetaCommand, NewSchool},
    raft::{
        Groups, ProposeError,
        types::{Answer, Command, Epoch, Group, META, NodeId},
    },
    state::school::CHUNK_LEN_MAX,
};
use schulhof_net::{
    identity::Role,
    quic::{Accepted, FrameError, FrameReader, FrameWriter},
};
use schulhof_wire::{
    SchoolId,
    backup::{FromCore, SCHOOLS_MAX, ToCore, VERSION},
};
use std::{
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// Whoever opens a stream asks at once.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// A chunk, and what stands around it in its frame.
const FRAME_LEN_MAX: usize = CHUNK_LEN_MAX + 64;
/// The last frame of a stream reaches the operator in this time, or never.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Dumps and loads at once on this node: each works as fast as the disk gives, beside the schools' own work.
const AT_ONCE_MAX: usize = 4;
const BUSY_RETRY_MS: u32 = 1_000;

/// What all streams share.
pub struct Door {
    groups: Arc<Groups>,
    at_once: Semaphore,
}

/// How a stream ends: with a last frame, or the peer is gone.
type End = Option<FromCore>;

fn refused(code: &str, detail: impl Into<String>) -> FromCore {
    FromCore::Refused { code: code.into(), detail: detail.into() }
}

impl Door {
    pub fn new(groups: Arc<Groups>) -> Self {
        Self { groups, at_once: Semaphore::new(AT_ONCE_MAX) }
    }

    /// Serves one connection until it ends. QUIC bounds how many streams it has.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        if peer.role != Role::Operator {
            count_refused("wrong-role");
            tracing::warn!(%peer, "refused at the backup door: not an operator");
            connection.close(1u32.into(), b"the backup door is for operators");
            return;
        }
        while let Ok((send, receive)) = connection.accept_bi().await {
            let (door, peer) = (self.clone(), peer.clone());
            tokio::spawn(async move {
                let mut reader = FrameReader::with_limit(receive, FRAME_LEN_MAX);
                let mut writer = FrameWriter::new(send);
                let Some(last) = door.answer(&mut reader, &mut writer).await else { return };
                if let FromCore::Refused { code, detail } = &last {
                    count_refused(code);
                    tracing::warn!(%peer, code, detail, "refused at the backup door");
                }
                let farewell = async {
                    if writer.write(&last).await.is_ok() {
                        writer.delivered().await;
                    }
                };
                let _ = timeout(FAREWELL_MAX, farewell).await;
            });
        }
    }

    async fn answer(&self, reader: &mut FrameReader<ToCore>, writer: &mut FrameWriter<FromCore>) -> End {
        let question = match timeout(QUESTION_MAX, reader.read()).await {
            Ok(question) => match read(question) {
                Ok(question) => question,
                Err(end) => return end,
            },
            Err(_) => return Some(refused("malformed", "no question came")),
        };
        let answer = match question {
            ToCore::Schools { version: VERSION, after } => self.schools(after).await,
            ToCore::Dump { version: VERSION, school } => return self.dump(&school, writer).await,
            ToCore::Place { version: VERSION, school } => self.place(school).await,
            ToCore::Load { version: VERSION, school, replace } => {
                let Ok(_permit) = self.at_once.try_acquire() else { return Some(busy()) };
                return load::load(self, &school, replace, reader, writer).await;
            }
            ToCore::Enrolment { version: VERSION } => return enrolment::send(self, writer).await,
            ToCore::LoadEnrolment { version: VERSION, records } => enrolment::load(self, records).await,
            ToCore::Serve { version: VERSION, school, epoch } => self.serve_again(school, Epoch(epoch)).await,
            ToCore::Schools { version, .. }
            | ToCore::Dump { version, .. }
            | ToCore::Place { version, .. }
            | ToCore::Load { version, .. }
            | ToCore::Serve { version, .. }
            | ToCore::Enrolment { version }
            | ToCore::LoadEnrolment { version, .. } => {
                Err(refused("version", format!("version {version}, this node speaks {VERSION}")))
            }
            ToCore::Chunk { .. } => Err(refused("malformed", "a chunk of nothing")),
        };
        Some(answer.unwrap_or_else(|instead| instead))
    }

    async fn schools(&self, after: Option<SchoolId>) -> Result<FromCore, FromCore> {
        self.groups.catch_up(META).await.map_err(|e| self.instead(&e))?;
        let from = after.map_or(Unbounded, Excluded);
        let view = self.groups.view();
        let view = view.borrow();
        if !view.has_begun() {
            return Err(self.redirect(None));
        }
        let schools = view.schools.range((from, Unbounded)).map(|(school, _)| school.clone());
        Ok(FromCore::Schools { schools: schools.take(SCHOOLS_MAX).collect() })
    }

    async fn dump(&self, school: &SchoolId, writer: &mut FrameWriter<FromCore>) -> End {
        let store = async {
            let (group, _) = self.find(school).await?;
            self.groups.confirm(group).await.map_err(|e| self.instead(&e))?;
            let handle = self.groups.get(group).ok_or_else(|| self.redirect(None))?;
            Ok(handle.store.clone())
        };
        let store = match store.await {
            Ok(store) => store,
            Err(instead) => return Some(instead),
        };
        let Ok(_permit) = self.at_once.try_acquire() else { return Some(busy()) };
        dump::send(store, school, writer).await
    }

    /// The school has a place, if it had none. Its data come afterwards.
    async fn place(&self, school: SchoolId) -> Result<FromCore, FromCore> {
        let new = NewSchool { school: school.clone(), name: None, group: None };
        match self.tell_meta(MetaCommand::SchoolAdd(new)).await {
            Err(FromCore::Refused { code, .. }) if code == "school-exists" => {}
            Err(instead) => return Err(instead),
            Ok(_) => tracing::info!(%school, "a school was added, to be restored"),
        }
        Ok(FromCore::Done)
    }

    /// A loaded school is at its epoch from now on.
    async fn serve_again(&self, school: SchoolId, epoch: Epoch) -> Result<FromCore, FromCore> {
        let group = self.find(&school).await?.0;
        self.tell_meta(MetaCommand::Restored { school: school.clone(), group, epoch }).await?;
        tracing::info!(%school, group = group.0, epoch = epoch.0, "a restored school is served");
        Ok(FromCore::Done)
    }

    /// Which group has the school, and at which epoch, as this node knows after all that was decided before.
    async fn find(&self, school: &SchoolId) -> Result<(Group, Epoch), FromCore> {
        self.groups.catch_up(META).await.map_err(|e| self.instead(&e))?;
        let view = self.groups.view();
        let view = view.borrow();
        if !view.has_begun() {
            return Err(self.redirect(None));
        }
        let place = view.schools.get(school).map(|school| (school.group, school.epoch));
        place.ok_or_else(|| refused("unknown-school", format!("{school} is not served here")))
    }

    async fn tell_meta(&self, command: MetaCommand) -> Result<MetaAnswer, FromCore> {
        match self.groups.propose(META, Command::Meta(command)).await {
            // An empty core has just elected its first leader.
            Ok(Answer::Meta(MetaAnswer::Refused { code, .. })) if code == "not-begun" => Err(self.redirect(None)),
            Ok(Answer::Meta(MetaAnswer::Refused { code, detail })) => Err(refused(&code, detail)),
            Ok(Answer::Meta(answer)) => Ok(answer),
            Ok(other) => Err(refused("internal", format!("the meta group answered {other}"))),
            Err(e) => Err(self.instead(&e)),
        }
    }

    fn instead(&self, error: &ProposeError) -> FromCore {
        match error {
            ProposeError::NotLeader(leader) => self.redirect(*leader),
            ProposeError::Unavailable(detail) => {
                tracing::warn!("the backup door waits: {detail}");
                self.redirect(None)
            }
        }
    }

    fn redirect(&self, leader: Option<NodeId>) -> FromCore {
        FromCore::Redirect { leader: leader.and_then(|id| self.groups.peers().name(id)) }
    }
}

fn busy() -> FromCore {
    FromCore::Busy { retry_after_ms: BUSY_RETRY_MS }
}

fn read(frame: Result<Option<ToCore>, FrameError>) -> Result<ToCore, End> {
    match frame {
        Ok(Some(frame)) => Ok(frame),
        Err(e) if e.is_malformed() => Err(Some(refused("malformed", e.to_string()))),
        Ok(None) | Err(_) => Err(None),
    }
}
