//! `POST /api/operations`: what a browser does. The actor is the session's account, never the request's.

use crate::{
    app::App,
    door::{
        blob::unreachable,
        body::{RawJson, malformed},
        cookie::SignedIn,
        problem::Refusal,
    },
};
use axum::{Json as Answer, extract::State, http::StatusCode};
use schulhof_school::{Body, Operation, op::Actor};
use schulhof_wire::{
    Hlc,
    api::{SUBMIT_OPERATIONS_MAX, SubmitAnswer, SubmitRequest, SubmitResult, SubmitState, Submitted},
};
use serde::Deserialize as _;
use std::sync::Arc;

pub async fn submit(
    State(app): State<Arc<App>>,
    user: SignedIn,
    RawJson(bytes): RawJson,
) -> Result<Answer<SubmitAnswer>, Refusal> {
    let request = parse(&bytes)?;
    if request.operations.len() > SUBMIT_OPERATIONS_MAX {
        let title = format!("At most {SUBMIT_OPERATIONS_MAX} operations at once: send them in parts.");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-operations", title));
    }
    if request.operations.iter().any(|operation| operation.at > Hlc::MAX) {
        let title = format!("The time of an operation is at most {}.", Hlc::MAX.0);
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-time", title));
    }
    if request.account.as_ref().is_some_and(|account| *account != user.session.account) {
        let title = "Somebody else has signed in on this browser: this was written under another account.";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "other-account", title));
    }
    let actor = Actor::Account(user.session.account);
    let device = request.device;
    let known = known_blobs(&app, &request.operations).await?;
    let operation =
        |Submitted { seq, at, body }| Operation { device: device.clone(), seq, actor: actor.clone(), at, body };
    let mut rest = request.operations;
    let refused = rest.split_off(known);
    let operations = rest.into_iter().map(operation).collect();
    let mut answer = app.store.submit(device.clone(), operations).await?;
    // What follows on a refused one leaves a gap.
    let all_taken = answer.results.len() == known;
    for (n, Submitted { seq, .. }) in refused.into_iter().enumerate().filter(|_| all_taken) {
        answer.results.push(if n == 0 {
            SubmitResult { seq, state: SubmitState::Refused, reason: Some(UNKNOWN_BLOB.to_owned()) }
        } else {
            SubmitResult { seq, state: SubmitState::Gap, reason: None }
        });
    }
    Ok(Answer(answer))
}

/// Reason of an operation that names a blob which is neither here nor in the core: its upload did not come to its end.
const UNKNOWN_BLOB: &str = "unknown-blob";

/// How many operations come before the first one that names an unknown blob.
async fn known_blobs(app: &App, operations: &[Submitted<Body>]) -> Result<usize, Refusal> {
    for (n, operation) in operations.iter().enumerate() {
        for blob in operation.body.blobs() {
            if !app.blobs.exists(blob).await.map_err(|error| unreachable(&error))? {
                return Ok(n);
            }
        }
    }
    Ok(operations.len())
}

fn parse(bytes: &[u8]) -> Result<SubmitRequest<Body>, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| match unknown_kind(bytes) {
        Some(kind) => {
            let title = format!("This box does not know operations of the type {kind:?}.");
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-operation", title)
        }
        None => malformed(&error),
    })
}

/// The type of the first operation whose kind this version does not know, if the request is otherwise of the right shape.
fn unknown_kind(bytes: &[u8]) -> Option<String> {
    const KIND_SHOWN_MAX: usize = 64;
    let request: SubmitRequest<serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    request.operations.into_iter().find_map(|operation| {
        let kind = operation.body.get("type")?.as_str()?.to_owned();
        let error = Body::deserialize(serde_json::json!({ "type": kind })).err()?;
        error.to_string().starts_with("unknown variant").then(|| kind.chars().take(KIND_SHOWN_MAX).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Refusal {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_operation_of_the_right_shape_is_read() {
        let text = r#"{"device":"d1","operations":[{"seq":1,"at":5,
            "body":{"type":"message.post","room":"7a","text":"Guten Morgen"}}]}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().operations.len(), 1);
    }

    #[test]
    fn an_unknown_kind_is_told_apart_from_a_wrong_shape() {
        let unknown = refused(r#"{"device":"d1","operations":[{"seq":1,"at":5,"body":{"type":"poll.open","x":1}}]}"#);
        assert_eq!((unknown.status.as_u16(), unknown.code), (422, "unknown-operation"));
        assert!(unknown.title.contains("poll.open"));
        let shape = refused(r#"{"device":"d1","operations":[{"seq":1,"at":5,"body":{"type":"message.post"}}]}"#);
        assert_eq!((shape.status.as_u16(), shape.code), (400, "malformed-json"));
        assert!(shape.title.contains("line 1 column"), "{}", shape.title);
    }

    #[test]
    fn nobody_can_name_an_actor() {
        let actor = refused(r#"{"device":"d1","actor":"operator","operations":[]}"#);
        assert!(actor.title.contains("`actor`"), "{}", actor.title);
        let actor = refused(
            r#"{"device":"d","operations":[{"seq":1,"at":1,"actor":{"account":"x"},"body":{"type":"school.name","name":"n"}}]}"#,
        );
        assert_eq!(actor.status.as_u16(), 400);
    }
}
