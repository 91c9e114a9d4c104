//! Joining with a token, and renewing: both ask one core node after the other until the one that decides has answered.

use super::{Pin, Token, words};
use crate::{
    identity::{Fingerprint, Identity, IdentityError, NodeKey, Role},
    quic::{Endpoint, Expected, FrameError, FrameReader, FrameWriter, QuicError, Stranger},
};
use rustls::pki_types::CertificateDer;
use schulhof_wire::enrol::{ALPN_ENROL, ANSWER_LEN_MAX, CoreNode, EnrolAnswer, EnrolRequest, Enrolled, VERSION};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// Two elections of the core fit in.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries that brought nothing.
const PAUSE: Duration = Duration::from_millis(300);
/// The core asks for no longer pauses than this; if it did, it would not be believed.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A majority has agreed within this time, or another node is asked.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Why there is no certificate. One line for who sets up the box.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("the core refuses: {detail} ({code})")]
    Refused { code: String, detail: String },
    #[error("no core node answers: {0}")]
    Unreachable(String),
    /// Somebody else answers, or the token is of another system.
    #[error(transparent)]
    WrongCa(QuicError),
    #[error("the core's answer does not fit: {0}")]
    Misfit(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl EnrolError {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// A box that is one now.
#[derive(Debug)]
pub struct Joined {
    pub identity: Identity,
    pub enrolled: Enrolled,
    /// To be compared with what the core shows.
    pub words: String,
}

/// What one try has brought.
enum Tried {
    Enrolled(Enrolled),
    /// This one knows the answer.
    Goto(CoreNode),
    /// Nothing, for this reason; again after the pause.
    Again(String, Duration),
}

/// Asks for a certificate for the key. The same key and token may be tried again after any error: a box that has been
/// enrolled and did not hear of it gets its certificate once more.
pub async fn join(
    token: &Token,
    key: &NodeKey,
    software: &str,
    ticket_key: Option<String>,
) -> Result<Joined, EnrolError> {
    let request = EnrolRequest::Join {
        version: VERSION,
        software: software.to_owned(),
        secret: token.secret.0,
        csr: key.request()?,
        ticket_key,
    };
    let enrolled = ask_around(&token.addresses, &Way::Stranger(token.pin), &request).await?;
    let ca = CertificateDer::from(enrolled.ca.clone());
    if !token.pin.fits(Fingerprint::of(&ca)) {
        return Err(EnrolError::Misfit("it names another CA than the token".into()));
    }
    let identity = checked(key, &ca, &enrolled)?;
    let words = words(token.secret.id(), key.hash(), identity.ca_fingerprint());
    Ok(Joined { identity, enrolled, words })
}

/// Asks for a new certificate for the key of the endpoint's identity, which must still be valid.
pub async fn renew(
    endpoint: &Endpoint,
    key: &NodeKey,
    core: &[String],
    software: &str,
) -> Result<(Identity, Enrolled), EnrolError> {
    let request = EnrolRequest::Renew { version: VERSION, software: software.to_owned(), csr: key.request()? };
    let enrolled = ask_around(core, &Way::Known(endpoint), &request).await?;
    let current = endpoint.identity();
    let identity = checked(key, current.ca(), &enrolled)?;
    if identity.own() != current.own() {
        return Err(EnrolError::Misfit(format!("it is for {}, not for {}", identity.own(), current.own())));
    }
    Ok((identity, enrolled))
}

/// The certificate must be of the CA, for the key, and for the school that the answer names.
fn checked(key: &NodeKey, ca: &CertificateDer<'static>, enrolled: &Enrolled) -> Result<Identity, EnrolError> {
    let identity = Identity::assemble(key, ca, CertificateDer::from(enrolled.certificate.clone()))?;
    let own = identity.own().clone().expect(Role::Box)?;
    if own.school().as_ref() != Some(&enrolled.school) {
        return Err(EnrolError::Misfit(format!("the certificate is of {own}, the answer of {}", enrolled.school)));
    }
    Ok(identity)
}

/// How a node is reached.
enum Way<'a> {
    Stranger(Pin),
    Known(&'a Endpoint),
}

impl Way<'_> {
    /// One connection, one request, one answer.
    async fn ask(&self, address: SocketAddr, request: &EnrolRequest) -> Result<EnrolAnswer, Failed> {
        match self {
            Self::Stranger(pin) => {
                let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let stranger = Stranger::bind(SocketAddr::new(any, 0), *pin)?;
                let connection = stranger.connect(address, ALPN_ENROL).await?;
                let answer = exchange(&connection, request).await;
                stranger.close().await;
                Ok(answer?)
            }
            Self::Known(endpoint) => {
                let connection = endpoint.connect(address, &Expected::AnyCore, ALPN_ENROL).await?;
                let answer = exchange(&connection, request).await;
                connection.close(0u32.into(), b"");
                Ok(answer?)
            }
        }
    }
}

/// Why one node has not answered.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Line(#[from] QuicError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Goes from node to node, following those that know better, until one has decided or patience is at its end.
async fn ask_around(addresses: &[String], way: &Way<'_>, request: &EnrolRequest) -> Result<Enrolled, EnrolError> {
    let mut last = "no address is known".to_owned();
    let going_around = async {
        let mut next: Option<CoreNode> = None;
        for turn in 0.. {
            let address = match next.take() {
                Some(node) => node.address,
                None if addresses.is_empty() => return Err(EnrolError::Unreachable(last.clone())),
                None => addresses[turn % addresses.len()].clone(),
            };
            match attempt(&address, way, request).await? {
                Tried::Enrolled(enrolled) => return Ok(enrolled),
                Tried::Goto(node) => next = Some(node),
                Tried::Again(why, pause) => {
                    last = why;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        unreachable!("the loop has no end of its own")
    };
    match timeout(PATIENCE, going_around).await {
        Ok(result) => result,
        Err(_) => Err(EnrolError::Unreachable(last)),
    }
}

async fn attempt(address: &str, way: &Way<'_>, request: &EnrolRequest) -> Result<Tried, EnrolError> {
    let again = |why: String| Ok(Tried::Again(why, PAUSE));
    let resolved = match tokio::net::lookup_host(address).await {
        Ok(mut found) => found.next(),
        Err(e) => return again(format!("{address}: {e}")),
    };
    let Some(resolved) = resolved else { return again(format!("{address} is unknown")) };
    match way.ask(resolved, request).await {
        // Not a matter of trying elsewhere: people have to look at the token and at the line.
        Err(Failed::Line(e @ QuicError::WrongCa { .. })) => Err(EnrolError::WrongCa(e)),
        Err(e) => again(format!("{address}: {e}")),
        Ok(EnrolAnswer::Enrolled(enrolled)) => Ok(Tried::Enrolled(*enrolled)),
        Ok(EnrolAnswer::Redirect { leader: Some(leader) }) if leader.address != address => Ok(Tried::Goto(leader)),
        Ok(EnrolAnswer::Redirect { .. }) => again("the core has no leader at the moment".into()),
        Ok(EnrolAnswer::Busy { retry_after_ms }) => {
            let pause = Duration::from_millis(retry_after_ms.into()).clamp(PAUSE, PAUSE_MAX);
            Ok(Tried::Again("the core has too much to do".into(), pause))
        }
        Ok(EnrolAnswer::Refused { code, detail }) => Err(EnrolError::Refused { code, detail }),
    }
}

/// One request, one answer.
async fn exchange(connection: &quinn::Connection, request: &EnrolRequest) -> Result<EnrolAnswer, FrameError> {
    let exchange = async {
        let (send, receive) = connection.open_bi().await.map_err(quinn::WriteError::ConnectionLost)?;
        let mut writer = FrameWriter::new(send);
        writer.write(request).await?;
        writer.finish();
        FrameReader::with_limit(receive, ANSWER_LEN_MAX).read().await?.ok_or(FrameError::Cut)
    };
    timeout(ANSWER_MAX, exchange).await.unwrap_or(Err(FrameError::Cut))
}
