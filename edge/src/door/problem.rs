//! Errors towards browsers: `application/problem+json` (RFC 9457), counted by code.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schulhof_wire::problem::{CONTENT_TYPE, Problem};

/// What a handler returns instead of its answer. The code is one of the fixed ones below, so that metrics stay bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub title: String,
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, title: impl Into<String>) -> Self {
        Self { status, code, title: title.into(), retry_after_s: None }
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not-signed-in", "There is no valid session: sign in first.")
    }

    pub fn password_first() -> Self {
        let title = "The first password must be changed before anything else.";
        Self::new(StatusCode::FORBIDDEN, "password-first", title)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing at this address.")
    }

    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This address does not take this method.")
    }

    pub fn foreign_origin() -> Self {
        Self::new(StatusCode::FORBIDDEN, "foreign-origin", "The request comes from a page of another origin.")
    }

    pub fn storage() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage-failed",
            "The box cannot use its disk at the moment: nothing was saved.",
        )
        .retry_after(5)
    }

    pub fn disk_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk-full",
            "The box has too little free disk space to save anything; reading goes on.",
        )
        .retry_after(60)
    }

    /// At a gateway, or at a box that has just been put up: the browser asks again soon.
    pub fn loading() -> Self {
        let title = "The state of the school is being loaded: try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "loading", title).retry_after(1)
    }

    pub fn unknown_school() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-school", "No school is served at this address.")
    }

    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The box has more to do than it can hold: try again.")
            .retry_after(2)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::counter!("schulhof_edge_refused_total", "code" => self.code).increment(1);
        let problem = Problem {
            code: self.code.to_owned(),
            status: self.status.as_u16(),
            title: self.title,
            retry_after_s: self.retry_after_s,
        };
        let body = serde_json::to_vec(&problem).expect("a problem is always valid JSON");
        let mut response = (self.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_problem_json_with_its_retry_after() {
        let response = Refusal::busy().into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code.as_str(), problem.status, problem.retry_after_s), ("busy", 503, Some(2)));
    }
}
