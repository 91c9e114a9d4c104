//! The enrolment door (ALPN `schulhof-enrol/1`, PROTOCOL.md section 7): the only one that a caller without a certificate may
//! come to.
//!
//! What this is: reading one small request, signing what the state allows, and proposing it to the meta group. What it must
//! not do: decide from a state that may be old (it asks for a read index first), or give out a certificate that the meta group
//! has not recorded.

use super::{
    EnrolCommand, EnrolOutcome, View,
    limit::Limits,
    state::{check_join, check_renew},
};
use crate::{
    door::count_refused,
    meta::{self, MetaAnswer, MetaCommand},
    raft::{
        Groups, ProposeError,
        types::{Answer, Command, META},
    },
};
use parking_lot::Mutex;
use schulhof_net::{
    enrol::Secret,
    identity::{Ca, KeyHash, PeerIdentity, RequestedKey, Role, SealKey, peer_certificate},
    quic::{Accepted, FrameReader, FrameWriter},
};
use schulhof_wire::{
    SchoolId,
    enrol::{CERTIFICATE_TTL_MS, CoreNode, EnrolAnswer, EnrolRequest, Enrolled, REQUEST_LEN_MAX, VERSION, code},
};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Semaphore, time::timeout};

/// Strangers at once. Each may hold a connection for [`VISIT_MAX`].
const STRANGERS_MAX: usize = 64;
/// From a stranger's handshake to the end: a request, an agreement of the core, an answer.
const VISIT_MAX: Duration = Duration::from_secs(15);
/// Whoever opens a stream asks at once.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Requests on one connection of a box; it needs one.
const REQUESTS_MAX: usize = 4;
/// When the core does not come to an agreement.
const BUSY_RETRY_MS: u32 = 500;

/// Who asks.
#[derive(Clone, Copy)]
enum Asker<'a> {
    Stranger,
    Node(&'a PeerIdentity, KeyHash),
}

/// What all callers share.
pub struct EnrolDoor {
    groups: Arc<Groups>,
    /// With the file that opens the CA's key.
    identity: PathBuf,
    strangers: Arc<Semaphore>,
    limits: Mutex<Limits>,
    started: Instant,
    /// The CA that was opened last, and its sealed form.
    opened: Mutex<Option<(Vec<u8>, Arc<Ca>)>>,
}

impl EnrolDoor {
    pub fn new(groups: Arc<Groups>, identity: PathBuf) -> Self {
        Self {
            groups,
            identity,
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            limits: Mutex::new(Limits::new(0)),
            started: Instant::now(),
            opened: Mutex::new(None),
        }
    }

    /// Serves a caller without a certificate: one request.
    pub async fn serve_stranger(&self, connection: quinn::Connection) {
        let Ok(_place) = self.strangers.clone().try_acquire_owned() else {
            count_refused("too-many-strangers");
            connection.close(1u32.into(), b"busy");
            return;
        };
        let visit = async {
            if let Ok((send, receive)) = connection.accept_bi().await {
                self.converse(Asker::Stranger, connection.remote_address().ip(), send, receive).await;
            }
        };
        if timeout(VISIT_MAX, visit).await.is_err() {
            count_refused("enrol-too-slow");
        }
        connection.close(0u32.into(), b"");
    }

    /// Serves a node that has a certificate: renewing.
    pub async fn serve(&self, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        let Some(key) = peer_certificate(&connection).and_then(|certificate| KeyHash::of(&certificate).ok()) else {
            return;
        };
        for _ in 0..REQUESTS_MAX {
            let Ok((send, receive)) = connection.accept_bi().await else { return };
            self.converse(Asker::Node(&peer, key), connection.remote_address().ip(), send, receive).await;
        }
        connection.close(0u32.into(), b"");
    }

    async fn converse(&self, asker: Asker<'_>, address: IpAddr, send: quinn::SendStream, receive: quinn::RecvStream) {
        let mut reader = FrameReader::<EnrolRequest>::with_limit(receive, REQUEST_LEN_MAX);
        let answer = match timeout(REQUEST_MAX, reader.read()).await {
            Ok(Ok(Some(request))) => self.answer(asker, address, request).await.unwrap_or_else(|instead| instead),
            Ok(Err(e)) if e.is_malformed() => refused(code::MALFORMED, e.to_string()),
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        count(&answer);
        if let EnrolAnswer::Refused { code, detail } = &answer {
            count_refused(code);
            tracing::warn!(%address, code, detail, "refused at the enrolment door");
        }
        let mut writer = FrameWriter::new(send);
        let write = async {
            if writer.write(&answer).await.is_ok() {
                writer.delivered().await;
            }
        };
        let _ = timeout(REQUEST_MAX, write).await;
    }

    async fn answer(
        &self,
        asker: Asker<'_>,
        address: IpAddr,
        request: EnrolRequest,
    ) -> Result<EnrolAnswer, EnrolAnswer> {
        let (EnrolRequest::Join { version, .. } | EnrolRequest::Renew { version, .. }) = request;
        if version != VERSION {
            return Err(refused(code::VERSION, format!("this core speaks version {VERSION}, not {version}")));
        }
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        self.limits
            .lock()
            .take(address, elapsed_ms)
            .map_err(|wait_ms| EnrolAnswer::Busy { retry_after_ms: wait_ms.try_into().unwrap_or(u32::MAX) })?;
        match (request, asker) {
            (EnrolRequest::Join { software, secret, csr, ticket_key, .. }, Asker::Stranger) => {
                let key = requested(&csr)?;
                let view = self.confirmed().await?;
                let (token, hash) = (Secret(secret).id(), key.hash());
                let now = Now::read();
                let invited = view.enrol.invitations.get(&token).cloned();
                let invited = check_join(invited, view.enrol.box_of(hash), now.ms)
                    .map_err(|outcome| answer_of(outcome, &view))?;
                let certificate = self.sign(&view.enrol, &key, &invited.school, &now)?;
                let (at_ms, expires_ms) = (now.ms, now.expires_ms());
                let key = hash;
                self.propose(EnrolCommand::Join { token, key, software, ticket_key, certificate, at_ms, expires_ms })
                    .await
            }
            (EnrolRequest::Renew { software, csr, .. }, Asker::Node(peer, hash)) => {
                let key = requested(&csr)?;
                if peer.role != Role::Box || key.hash() != hash {
                    return Err(refused(code::WRONG_ROLE, "a box renews the certificate of its own key"));
                }
                let view = self.confirmed().await?;
                let known =
                    check_renew(view.enrol.box_of(hash).cloned()).map_err(|outcome| answer_of(outcome, &view))?;
                let now = Now::read();
                let certificate = self.sign(&view.enrol, &key, &known.school, &now)?;
                let (at_ms, expires_ms) = (now.ms, now.expires_ms());
                let key = hash;
                self.propose(EnrolCommand::Renew { key, software, certificate, at_ms, expires_ms }).await
            }
            (EnrolRequest::Join { .. }, Asker::Node(..)) => {
                Err(refused(code::MALFORMED, "who has a certificate renews it"))
            }
            (EnrolRequest::Renew { .. }, Asker::Stranger) => {
                Err(refused(code::WRONG_ROLE, "a renewal needs the certificate that is to be renewed"))
            }
        }
    }

    /// The state, not older than the question; or where to ask instead.
    async fn confirmed(&self) -> Result<Arc<meta::View>, EnrolAnswer> {
        self.groups.confirm(META).await.map_err(|e| self.instead(e))?;
        Ok(self.groups.view().borrow().clone())
    }

    async fn propose(&self, command: EnrolCommand) -> Result<EnrolAnswer, EnrolAnswer> {
        let answer = self.groups.propose(META, Command::Meta(MetaCommand::Enrol(command))).await;
        match answer.map_err(|e| self.instead(e))? {
            Answer::Meta(MetaAnswer::Enrol(outcome)) => {
                let view = self.groups.view().borrow().clone();
                Ok(answer_of(outcome, &view))
            }
            other => {
                tracing::error!("the meta group answered {other}");
                Err(EnrolAnswer::Busy { retry_after_ms: BUSY_RETRY_MS })
            }
        }
    }

    fn instead(&self, error: ProposeError) -> EnrolAnswer {
        match error {
            ProposeError::NotLeader(leader) => {
                let member = leader.and_then(|id| self.groups.peers().member(id));
                let leader = member
                    .map(|member| CoreNode { name: member.identity.name.clone(), address: member.address.to_string() });
                EnrolAnswer::Redirect { leader }
            }
            ProposeError::Unavailable(detail) => {
                tracing::warn!("an enrolment waits: {detail}");
                EnrolAnswer::Busy { retry_after_ms: BUSY_RETRY_MS }
            }
        }
    }

    fn sign(&self, view: &View, key: &RequestedKey, school: &SchoolId, now: &Now) -> Result<Vec<u8>, EnrolAnswer> {
        let ca = self.ca(view)?;
        let until = now.time + Duration::from_millis(CERTIFICATE_TTL_MS);
        let certificate = ca.sign(key, Role::Box, school.as_str(), now.time, until);
        certificate.map(|certificate| certificate.to_vec()).map_err(|e| {
            tracing::error!(%school, "{e}");
            refused(code::NO_CA, "the CA of this core cannot sign at the moment")
        })
    }

    /// Opens the CA's key with the file beside this node's identity; once, until it is sealed anew.
    fn ca(&self, view: &View) -> Result<Arc<Ca>, EnrolAnswer> {
        let no_ca = |detail: &str| refused(code::NO_CA, detail);
        let record = view.ca.as_ref().ok_or_else(|| no_ca("no CA is installed"))?;
        let mut opened = self.opened.lock();
        if let Some((sealed, ca)) = opened.as_ref()
            && *sealed == record.sealed
        {
            return Ok(ca.clone());
        }
        let ca = SealKey::load(&self.identity).and_then(|seal| seal.open(&record.certificate, &record.sealed));
        let ca = Arc::new(ca.map_err(|e| {
            tracing::error!("the CA cannot be used: {e}");
            no_ca("the leading core node cannot open the CA's key")
        })?);
        *opened = Some((record.sealed.clone(), ca.clone()));
        Ok(ca)
    }
}

/// One reading of the clock for a request.
struct Now {
    time: SystemTime,
    ms: u64,
}

impl Now {
    fn read() -> Self {
        let time = SystemTime::now();
        Self { time, ms: time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64 }
    }

    fn expires_ms(&self) -> u64 {
        self.ms + CERTIFICATE_TTL_MS
    }
}

fn requested(csr: &[u8]) -> Result<RequestedKey, EnrolAnswer> {
    RequestedKey::of(csr).map_err(|e| refused(code::MALFORMED, e.to_string()))
}

fn refused(code: &str, detail: impl Into<String>) -> EnrolAnswer {
    EnrolAnswer::Refused { code: code.into(), detail: detail.into() }
}

fn answer_of(outcome: EnrolOutcome, view: &meta::View) -> EnrolAnswer {
    match outcome {
        EnrolOutcome::Box { record, certificate } => {
            let record = *record;
            let Some(ca) = &view.enrol.ca else { return refused(code::NO_CA, "no CA is installed") };
            let core = view.nodes.values();
            let core = core.map(|node| CoreNode { name: node.name.clone(), address: node.address.to_string() });
            EnrolAnswer::Enrolled(Box::new(Enrolled {
                version: VERSION,
                school: record.school,
                name: record.name,
                certificate,
                ca: ca.certificate.clone(),
                expires_ms: record.expires_ms,
                core: core.collect(),
            }))
        }
        EnrolOutcome::Refused { code, detail } => EnrolAnswer::Refused { code, detail },
        EnrolOutcome::Done | EnrolOutcome::Revoked { .. } => EnrolAnswer::Busy { retry_after_ms: BUSY_RETRY_MS },
    }
}

fn count(answer: &EnrolAnswer) {
    let result = match answer {
        EnrolAnswer::Enrolled(_) => "enrolled",
        EnrolAnswer::Redirect { .. } => "redirect",
        EnrolAnswer::Busy { .. } => "busy",
        EnrolAnswer::Refused { .. } => "refused",
    };
    metrics::counter!("schulhof_core_enrolments_total", "result" => result).increment(1);
}
