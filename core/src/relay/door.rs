//! Where boxes reserve: one request and one answer per stream. A box speaks for the school of its certificate.

use super::book::Book;
use schulhof_net::{
    identity::{PeerIdentity, Role},
    media::{self, trunk::Trunks},
    quic::{Accepted, Endpoint, FrameReader, FrameWriter},
};
use schulhof_placement::{Admitted, Room};
use schulhof_wire::{
    ConferenceId, SchoolId,
    media::MoveReason,
    node::{ALPN_TRUNK, DRAINING, FromRelay, ToRelay, VERSION},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Boxes at once: one relay serves a region of some thousand schools.
const CONNECTIONS_MAX: usize = 4_096;
/// Requests are a name and two numbers.
const REQUEST_LEN_MAX: usize = 1_024;
/// Time for one request, from its stream's beginning to the answer's delivery.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// What the door speaks for.
#[derive(Clone)]
pub(super) struct Door {
    pub book: Arc<Book>,
    pub media: Arc<media::Handle>,
    pub trunks: Trunks,
}

/// Serves until the endpoint is closed.
pub(super) async fn serve(endpoint: Endpoint, door: Door) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(handshake) = endpoint.accept().await {
        let Ok(place) = places.clone().try_acquire_owned() else {
            handshake.refuse();
            continue;
        };
        let door = door.clone();
        tokio::spawn(async move {
            match handshake.finish().await {
                Ok(accepted) if accepted.alpn == ALPN_TRUNK => door.trunks.serve(accepted).await,
                Ok(accepted) => converse(accepted, &door).await,
                Err(error) => tracing::debug!(%error, "nobody came in"),
            }
            drop(place);
        });
    }
}

/// One request after the other, as long as the box stays.
async fn converse(accepted: Accepted, door: &Door) {
    let Accepted { connection, peer, .. } = accepted;
    while let Ok((send, recv)) = connection.accept_bi().await {
        let request = async {
            let mut reader = FrameReader::<ToRelay>::with_limit(recv, REQUEST_LEN_MAX);
            let answer = match reader.read().await {
                Ok(Some(request)) => door.answer(&peer, request).await,
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

impl Door {
    async fn answer(&self, peer: &PeerIdentity, request: ToRelay) -> FromRelay {
        let (ToRelay::Reserve { version, .. }
        | ToRelay::Release { version, .. }
        | ToRelay::Load { version }
        | ToRelay::ReserveFor { version, .. }
        | ToRelay::ReleaseFor { version, .. }
        | ToRelay::Return { version, .. }
        | ToRelay::Drain { version }) = request;
        if version != VERSION {
            return refused("version", format!("this relay speaks version {VERSION}, not {version}"));
        }
        let book = &self.book;
        match (request, peer.school()) {
            (ToRelay::Load { .. }, _) if matches!(peer.role, Role::Box | Role::Operator | Role::Gateway) => {
                let load = book.load();
                FromRelay::Load {
                    participants: self.media.status(0).participants,
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
            (ToRelay::Return { room, .. }, Some(school)) if peer.role == Role::Box => {
                self.media.ask_to_move(school, room, MoveReason::Return).await;
                FromRelay::Asked
            }
            (ToRelay::Drain { .. }, _) if peer.role == Role::Operator => self.drain().await,
            _ => refused("wrong-role", format!("{peer} may not ask for this")),
        }
    }

    async fn drain(&self) -> FromRelay {
        self.book.drain();
        if let Err(error) = self.media.drain().await {
            return refused("ended", error.to_string());
        }
        let media::Status { participants, rooms, .. } = self.media.status(0);
        FromRelay::Draining { participants, rooms }
    }
}

fn reserve(book: &Book, school: SchoolId, conference: ConferenceId, participants: u32) -> FromRelay {
    if book.is_draining() {
        return refused(DRAINING, "the relay will stop");
    }
    match book.reserve(&Room { school, conference }, participants) {
        Admitted::Reserved => FromRelay::Reserved,
        Admitted::Full { position, retry_after_ms } => FromRelay::Full { position, retry_after_ms },
        Admitted::TooLarge => refused("room-too-large", format!("{participants} people exceed the whole relay")),
    }
}
