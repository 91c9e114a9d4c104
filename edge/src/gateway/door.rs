//! The gateway's HTTP door: which school, from which page, with which pass; then the school's own door (`crate::door`).
//!
//! A page of the box may come with a pass and with nothing else: the answer names its origin exactly (Fetch standard,
//! section 3.3, CORS protocol) and never allows cookies. The client's own files need no school, and open none.

use super::{
    address::Addresses,
    config::Config,
    tenant::{Plot, Standing},
    tenants::Tenants,
};
use crate::{
    app::Site,
    clock::unix_ms,
    door::{Guard, Refusal, page, shown},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_placement::TicketKeys;
use schulhof_wire::{SchoolId, ticket::NodeKind};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tower::ServiceExt as _;

/// A request waits so long for its school to be opened and loaded; then the browser is told, and asks again. Below what
/// browsers wait for an answer.
const LOADING_MAX: Duration = Duration::from_millis(1_500);
/// How long a browser may remember what a page of the box may ask, in seconds: what browsers take at most.
const PREFLIGHT_AGE_S: &str = "7200";

/// What is known of a school while it is closed.
struct Face {
    guard: Guard,
    /// Origins of the box's pages.
    boxes: Vec<String>,
}

/// Everything that a request meets first.
pub struct Door {
    addresses: Addresses,
    faces: BTreeMap<SchoolId, Face>,
    keys: TicketKeys,
    tenants: Arc<Tenants>,
}

/// The schools as they are opened, from a configuration that was checked.
pub fn plots(config: &Config) -> Vec<Plot> {
    let relays: Vec<String> = config.relay.iter().map(|relay| relay.url.clone()).collect();
    let plot = |(line, school): (u64, &super::config::School)| {
        let site = Site {
            name: config.name.clone(),
            kind: NodeKind::Gateway,
            school: school.id.clone(),
            origin: config.school_url(school)?,
            allowed_origins: Vec::new(),
            connects: relays.clone(),
        };
        Some(Plot { site, line })
    };
    (0..).zip(&config.school).filter_map(plot).collect()
}

impl Door {
    pub fn new(config: &Config, tenants: Arc<Tenants>) -> Arc<Self> {
        let plots = plots(config);
        let addresses = Addresses::new(plots.iter().map(|plot| (plot.site.origin.as_str(), plot.site.school.clone())));
        let boxes: BTreeMap<&SchoolId, &Vec<String>> =
            config.school.iter().map(|school| (&school.id, &school.boxes)).collect();
        let face = |plot: &Plot| {
            let boxes = boxes.get(&plot.site.school).map(|boxes| (*boxes).clone()).unwrap_or_default();
            (plot.site.school.clone(), Face { guard: Guard::new(&plot.site), boxes })
        };
        let faces = plots.iter().map(face).collect();
        Arc::new(Self { addresses, faces, keys: config.pass_keys(), tenants })
    }

    async fn answer(&self, request: Request) -> Response {
        let found = self.addresses.find(request.uri(), request.headers());
        let Some((school, face)) = found.and_then(|school| Some((school, self.faces.get(school)?))) else {
            return Refusal::unknown_school().into_response();
        };
        let page_of_box = face.page_of_box(request.headers());
        let api = request.uri().path().starts_with("/api/");
        let asks_first = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = if *request.method() == Method::OPTIONS && asks_first {
            let answer = if page_of_box.is_some() { Ok(preflight()) } else { Err(Refusal::foreign_origin()) };
            answer.unwrap_or_else(Refusal::into_response)
        } else if api {
            self.enter(school, request).await.unwrap_or_else(Refusal::into_response)
        } else {
            page(request.method().clone(), request.uri().clone(), request.headers().clone()).await
        };
        face.guard.protect(response.headers_mut(), api);
        if let Some(origin) = page_of_box {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        if !face.boxes.is_empty() {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }

    /// To the school's own door.
    async fn enter(&self, school: &SchoolId, mut request: Request) -> Result<Response, Refusal> {
        let by_pass = shown(request.headers()).is_some();
        if let Some(pass) = shown(request.headers()) {
            let claims = self.keys.verify_pass(pass, unix_ms()).map_err(|error| {
                tracing::debug!(%school, %error, "a pass is not honoured");
                Refusal::new(StatusCode::UNAUTHORIZED, error.code(), format!("The pass is not honoured: {error}."))
            })?;
            // What a box has signed opens its own school only.
            if claims.school != *school {
                let title = "The pass is for another school.";
                return Err(Refusal::new(StatusCode::FORBIDDEN, "pass-other-school", title));
            }
            request.extensions_mut().insert(Arc::new(claims));
        }
        let opened = tokio::time::timeout(LOADING_MAX, async {
            let tenant = self.tenants.enter(school, by_pass).await?;
            let standing = tenant.standing().await;
            Ok::<_, Refusal>((tenant, standing))
        });
        let (tenant, standing) = opened.await.map_err(|_| Refusal::loading())??;
        match standing {
            Standing::Serves => {
                // The router's own error is none.
                let Ok(response) = tenant.router().oneshot(request).await;
                // Who is turned away does not keep a school open.
                if !response.status().is_client_error() {
                    tenant.touch(self.tenants.now_ms());
                }
                Ok(response)
            }
            Standing::Refused(code) => {
                tracing::warn!(%school, code, "the core refuses a school that is configured here");
                Err(Refusal::unknown_school())
            }
        }
    }
}

impl Face {
    /// The origin of the page that asks, if it is one of the box's.
    fn page_of_box(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.boxes.iter().any(|own| own.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

fn preflight() -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

/// The whole door, callable without a socket (give it `ConnectInfo` as an extension).
pub fn router(door: Arc<Door>) -> Router {
    Router::new()
        .fallback(|State(door): State<Arc<Door>>, request: Request| async move { door.answer(request).await })
        .with_state(door)
}
