//! Which path does what, for whom.
//!
//! | path | what | token |
//! |---|---|---|
//! | `POST /v1/check` | questions in JSON | needed, if the listener has one |
//! | `GET /v1/openapi.json` | what may be asked, described | needed |
//! | `GET /metrics` | all counts, for Prometheus | needed |
//! | `GET /healthz` | the process answers | not asked for |
//! | `GET /readyz` | mail may be sent here | not asked for |
//!
//! Never knows: sockets, threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use greylist::Query;

use super::body::{self, Beyond, Read};
use super::check::{Asked, BODY_BYTES_MAX};
use super::front_end::FrontEnd;
use super::mistake::Mistake;
use super::responses::{Path, Responses};
use crate::config::HttpListener;
use crate::metrics::{Event, Front};

const JSON: &str = "application/json";

/// The description of what may be asked, as it is served.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the handlers of one thread work with.
#[derive(Debug)]
pub struct Desk {
    /// Asked for everything.
    pub front_end: FrontEnd,
    /// Who may ask, and with which token. A reload changes it.
    pub listener: Arc<ArcSwap<HttpListener>>,
    /// What all threads share.
    pub shared: Arc<Shared>,
}

/// What all threads of all HTTP listeners share.
#[derive(Debug)]
pub struct Shared {
    /// Whether the service is about to end.
    pub is_stopping: AtomicBool,
    /// How long a request may take to come, in milliseconds.
    pub request_timeout_ms: AtomicU64,
    /// What was answered.
    pub responses: Responses,
}

impl Shared {
    /// How long a request may take to come.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.load(Relaxed))
    }
}

/// All paths.
pub fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route(Path::Check.as_str(), post(check))
        .route(Path::OpenApi.as_str(), get(openapi))
        .route(Path::Healthz.as_str(), get(healthz))
        .route(Path::Readyz.as_str(), get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), guard))
        .with_state(desk)
}

/// Sees everything that comes and goes: asks for the token, counts the answers.
async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let path = Path::of(request.uri().path());
    let response = match path {
        Path::Healthz | Path::Readyz => next.run(request).await,
        _ if may_ask(&desk.listener.load(), request.headers()) => next.run(request).await,
        _ => {
            desk.front_end.event(Event::NotAllowed);
            let what =
                "not allowed: send the token of this listener as \"Authorization: Bearer …\"";
            let mut response = mistake(StatusCode::UNAUTHORIZED, &Mistake::new(what));
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    };
    desk.shared.responses.count(path, response.status());
    response
}

/// Whether the headers show the listener's token, if it has one.
fn may_ask(listener: &HttpListener, headers: &HeaderMap) -> bool {
    let Some(token) = &listener.token else { return true };
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match shown.split_at_checked("Bearer ".len()) {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case(b"Bearer ") => {
            token.is(shown.trim_ascii())
        }
        _ => false,
    }
}

async fn check(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    if !is_json(request.headers()) {
        // Also so that no web page that somebody looks at on this host can ask: browsers send JSON only
        // where they are allowed to.
        let what = "send JSON, and say so: Content-Type: application/json";
        return mistake(StatusCode::UNSUPPORTED_MEDIA_TYPE, &Mistake::new(what));
    }
    let time = desk.shared.request_timeout();
    let body = match body::read(request.into_body(), BODY_BYTES_MAX, Beyond::Leave, time).await {
        Read::Whole(body) => body,
        Read::Cut(_) => {
            let what =
                format!("the body is longer than {BODY_BYTES_MAX} bytes: send smaller batches");
            return faulty(&desk, StatusCode::PAYLOAD_TOO_LARGE, &Mistake::new(what));
        }
        Read::Late => {
            desk.front_end.event(Event::HalfSent);
            let what = "the body did not come in time";
            return mistake(StatusCode::REQUEST_TIMEOUT, &Mistake::new(what));
        }
        Read::Broken => {
            return mistake(StatusCode::BAD_REQUEST, &Mistake::new("the body broke off"));
        }
    };
    let asked = match Asked::parse(&body) {
        Ok(asked) => asked,
        Err(wrong) => return faulty(&desk, StatusCode::BAD_REQUEST, &wrong),
    };
    let queries: Vec<Query<'_>> = asked.queries().collect();
    let mut answer = Vec::with_capacity(ANSWER_BYTES * queries.len());
    let front_end = &desk.front_end;
    front_end.decide(Front::Http, front_end.now(), &queries, |policy, outcomes| {
        asked.encode(policy, &queries, outcomes, &mut answer);
    });
    reply(StatusCode::OK, JSON, answer)
}

/// About as long as an answer is.
const ANSWER_BYTES: usize = 160;

async fn openapi() -> Response {
    reply(StatusCode::OK, JSON, OPENAPI)
}

async fn healthz() -> Response {
    reply(StatusCode::OK, JSON, "{\"status\":\"ok\"}\n")
}

/// Nobody listens before all tuples are there, so what is left is whether the service ends.
async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    if desk.shared.is_stopping.load(Relaxed) {
        return reply(StatusCode::SERVICE_UNAVAILABLE, JSON, "{\"status\":\"stopping\"}\n");
    }
    reply(StatusCode::OK, JSON, "{\"status\":\"ready\"}\n")
}

async fn not_found() -> Response {
    let what = "there is nothing here: /v1/openapi.json says what there is";
    mistake(StatusCode::NOT_FOUND, &Mistake::new(what))
}

async fn wrong_method() -> Response {
    let what = "this path takes another method: /v1/openapi.json says which";
    mistake(StatusCode::METHOD_NOT_ALLOWED, &Mistake::new(what))
}

/// Whether the body is said to be JSON, in any character set: it is read as UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes())
}

/// An answer to what could not be understood, counted and logged.
fn faulty(desk: &Desk, status: StatusCode, wrong: &Mistake) -> Response {
    desk.front_end.is_faulty(Path::Check.as_str(), wrong);
    mistake(status, wrong)
}

fn mistake(status: StatusCode, wrong: &Mistake) -> Response {
    reply(status, JSON, wrong.json())
}

pub(super) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
