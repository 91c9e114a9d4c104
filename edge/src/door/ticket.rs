//! `POST /api/conferences/{conference}/ticket`: a place on a media node, or in the queue.

use crate::{
    app::App,
    door::{
        cookie::SignedIn,
        problem::Refusal,
        read::{id, rejected},
    },
    placement::{Person, PlacementError},
};
use axum::{
    Json as Answer,
    extract::{Path, State},
    http::StatusCode,
};
use schulhof_school::view;
use schulhof_wire::{ConferenceId, api::TicketAnswer, ticket::MediaRole};
use std::sync::Arc;

pub async fn ticket(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(conference): Path<String>,
) -> Result<Answer<TicketAnswer>, Refusal> {
    let conference: ConferenceId = id(&conference)?;
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| {
        let kv = snapshot.kv();
        let conference = view::conference(&kv, &viewer, &conference)?;
        let name = view::account(&kv, &viewer).map_or_else(String::new, |account| account.name);
        Ok((conference, Person { account: viewer, name, role: MediaRole::Participant }))
    });
    let (conference, mut person) = read.await?.map_err(rejected)?;
    if !conference.open {
        let title = "The conference was closed.";
        return Err(Refusal::new(StatusCode::CONFLICT, "conference-closed", title));
    }
    if conference.may_close {
        person.role = MediaRole::Moderator;
    }
    match app.placement.ticket(&conference, person).await {
        Ok(answer) => {
            let result = match &answer {
                TicketAnswer::Granted { .. } => "granted",
                TicketAnswer::Queued { .. } => "queued",
            };
            metrics::counter!("schulhof_edge_tickets_total", "result" => result).increment(1);
            Ok(Answer(answer))
        }
        Err(PlacementError::TooLarge) => {
            let title = "No media node of this school can carry so many people at once.";
            Err(Refusal::new(StatusCode::CONFLICT, "conference-too-large", title))
        }
        Err(PlacementError::NoNode) => {
            let title = "No media node can be reached at the moment.";
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no-media-node", title).retry_after(3))
        }
        Err(PlacementError::TooManyRooms) => Err(Refusal::busy()),
    }
}
