//! Where boxes reserve: one request and one answer per stream. A box speaks for the school of its certificate.

use super::book::Book;
use schulhof_net::{
    identity::{PeerIdentity, Role},
    media::trunk::Trunks,
    quic::{Accepted, Endpoint, FrameReader, FrameWriter},
};
use schulhof_placement::{Admitted, Room};
use schulhof_wire::{
    ConferenceId, SchoolId,
    node::{ALPN_TRUNK, FromRelay, ToRelay, VERSION},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Boxes at once: one relay serves a region of some thousand schools.
const CONNECTIONS_MAX: usize = 4_096;
/// Requests are a name and two numbers.
const REQUEST_LEN_MAX: usize = 1_024;
/// Time for one request, from its stream's beginning to the answer's delivery.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Says how many people are connected now.
pub(super) type Present = Arc<dyn Fn() -> u32 + Send + Sync>;

/// Serves until the endpoint is closed.
pub(super) async fn serve(endpoint: Endpoint, book: Arc<Book>, present: Present, trunks: Trunks) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(handshake) = endpoint.accept().await {
        let Ok(place) = places.clone().try_acquire_owned() else {
            handshake.refuse();
            continue;
        };
        let (book, present, trunks) = (book.clone(), present.clone(), trunks.clone());
        tokio::spawn(async move {
            match handshake.finish().await {
                Ok(accepted) if accepted.alpn == ALPN_TRUNK => trunks.serve(accepted).await,
                Ok(accepted) => converse(accepted, &book, &present).await,
                Err(error) => tracing::debug!(%error, "nobody came in"),
            }
            drop(place);
        });
    }
}

/// One request after the other, as long as the box stays.
async fn converse(accepted: Accepted, book: &Book, present: &Present) {
    let Accepted { connection, peer, .. } = accepted;
    while let Ok((send, recv)) = connection.accept_bi().await {
        let request = async {
            let mut reader = FrameReader::<ToRelay>::with_limit(recv, REQUEST_LEN_MAX);
            let answer = match reader.read().await {
                Ok(Some(request)) => answer(book, present, &peer, request),
                Err(error) if error.is_malformed() => refused("malformed", error.to_string()),
                Ok(None) | Err(_) => return,
            };
            let mut writer = FrameWriter::new(send);
            if writer.write(&answer).await.is_ok() {
                writer.delivered().await;
            }
        };
        if tokio::time::timeout(REQUEST_MAX, request).await.is_err() {
            tracing::debug!(%peer, "a request took too long");
        }
    }
}

fn refused(code: &str, detail: impl Into<String>) -> FromRelay {
    FromRelay::Refused { code: code.into(), detail: detail.into() }
}

fn answer(book: &Book, present: &Present, peer: &PeerIdentity, request: ToRelay) -> FromRelay {
    let (ToRelay::Reserve { version, .. }
    | ToRelay::Release { version, .. }
    | ToRelay::Load { version }
    | ToRelay::ReserveFor { version, .. }
    | ToRelay::ReleaseFor { version, .. }) = request;
    if version != VERSION {
        return refused("version", format!("this relay speaks version {VERSION}, not {version}"));
    }
    match (request, peer.school()) {
        (ToRelay::Load { .. }, _) if matches!(peer.role, Role::Box | Role::Operator | Role::Gateway) => {
            let load = book.load();
            FromRelay::Load {
                participants: present(),
                reserved: load.reserved.participants as u32,
                participants_max: load.budget.participants,
            }
        }
        (ToRelay::Reserve { room, participants, .. }, Some(school)) => reserve(book, school, room, participants),
        (ToRelay::Release { room, .. }, Some(school)) => {
            book.release(&Room { school, conference: room });
            FromRelay::Released
        }
        (ToRelay::ReserveFor { school, room, participants, .. }, _) if peer.role == Role::Gateway => {
            reserve(book, school, room, participants)
        }
        (ToRelay::ReleaseFor { school, room, .. }, _) if peer.role == Role::Gateway => {
            book.release(&Room { school, conference: room });
            FromRelay::Released
        }
        _ => refused("wrong-role", format!("{peer} speaks for no school")),
    }
}

fn reserve(book: &Book, school: SchoolId, conference: ConferenceId, participants: u32) -> FromRelay {
    match book.reserve(&Room { school, conference }, participants) {
        Admitted::Reserved => FromRelay::Reserved,
        Admitted::Full { position, retry_after_ms } => FromRelay::Full { position, retry_after_ms },
        Admitted::TooLarge => refused("room-too-large", format!("{participants} people exceed the whole relay")),
    }
}
