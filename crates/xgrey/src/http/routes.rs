//! Which path does what, for whom.
//!
//! | path | what | token |
//! |---|---|---|
//! | `POST /v1/check` | questions in JSON | needed, if the listener has one |
//! | `POST /v1/stalwart` | Stalwart's hook | needed |
//! | `GET /v1/openapi.json` | what may be asked, described | needed |
//! | `GET /metrics` | all counts, for Prometheus | needed |
//! | `GET /healthz` | the process answers | not asked for |
//! | `GET /readyz` | mail may be sent here | not asked for |
//!
//! Never knows: sockets, threads.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use greylist::Effect;
use tokio::sync::Semaphore;

use super::batches::Batches;
use super::body::{self, Beyond, Read};
use super::check::BODY_BYTES_MAX;
use super::front_end::FrontEnd;
use super::mistake::Mistake;
use super::open_metrics::{self, Sources};
use super::responses::Path;
use super::stalwart::{self, Extent, Hook, Remembered, Stage};
use crate::config::HttpListener;
use crate::metrics::{Event, Front};
use crate::niceness::be_nice;

const JSON: &str = "application/json";

/// The description of what may be asked, as it is served.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the handlers of one thread work with.
#[derive(Debug)]
pub struct Desk {
    /// Asked for everything.
    front_end: FrontEnd,
    /// Who may ask, and with which token. A reload changes it.
    listener: Arc<ArcSwap<HttpListener>>,
    /// What all threads share.
    shared: Arc<Shared>,
    batches: Batches,
}

impl Desk {
    /// A desk made of these.
    pub fn new(
        front_end: FrontEnd,
        listener: Arc<ArcSwap<HttpListener>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { front_end, listener, shared, batches: Batches::default() }
    }

    /// Asked for everything.
    pub fn front_end(&self) -> &FrontEnd {
        &self.front_end
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers what is asked, and hands over the lines of the log of decisions. Never ends; without it, no
    /// question is answered.
    pub async fn work(&self) {
        tokio::join!(self.batches.answer(&self.front_end), self.front_end.hand_over_log());
    }
}

/// What all threads of all HTTP listeners share.
#[derive(Debug)]
pub struct Shared {
    /// Whether the service is about to end.
    pub is_stopping: AtomicBool,
    /// How long a request may take to come, in milliseconds.
    pub request_timeout_ms: AtomicU64,
    /// Where numbers come from.
    pub sources: Sources,
    /// What Stalwart was answered at RCPT.
    pub remembered: Remembered,
    /// One look at all numbers at a time: each asks every shard of the store.
    pub looks: Semaphore,
}

impl Shared {
    /// How long a request may take to come.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.load(Relaxed))
    }
}

/// All paths, behind one door.
fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route(Path::Check.as_str(), post(check))
        .route(Path::Stalwart.as_str(), post(hook))
        .route(Path::OpenApi.as_str(), get(openapi))
        .route(Path::Metrics.as_str(), get(metrics))
        .route(Path::Healthz.as_str(), get(healthz))
        .route(Path::Readyz.as_str(), get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(desk)
}

/// Sees everything that comes and goes: asks for the token, counts the answers.
#[derive(Clone, Debug)]
pub struct Guarded {
    desk: Arc<Desk>,
    router: Router,
}

impl Guarded {
    /// All paths of `desk`.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self { router: router(Arc::clone(&desk)), desk }
    }
}

impl<B> tower_service::Service<axum::http::Request<B>> for Guarded
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As the router: always.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let path = Path::of(request.uri().path());
        let is_open = matches!(path, Path::Healthz | Path::Readyz);
        let may_pass = is_open || may_ask(&self.desk.listener.load(), request.headers());
        let answer = may_pass.then(|| self.router.call(request));
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let response = match answer {
                Some(answer) => answer.await?,
                None => {
                    desk.front_end.event(Event::NotAllowed);
                    no_token()
                }
            };
            desk.shared.sources.responses.count(path, response.status());
            Ok(response)
        })
    }
}

fn no_token() -> Response {
    let what = "not allowed: send the token of this listener as \"Authorization: Bearer …\"";
    let mut response = mistake(StatusCode::UNAUTHORIZED, &Mistake::new(what));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
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
        return not_json();
    }
    let time = desk.shared.request_timeout();
    let body = match body::read(request.into_body(), BODY_BYTES_MAX, Beyond::Leave, time).await {
        Read::Whole(body) => body,
        Read::Cut(_) => {
            let what =
                format!("the body is longer than {BODY_BYTES_MAX} bytes: send smaller batches");
            return faulty(&desk, StatusCode::PAYLOAD_TOO_LARGE, &Mistake::new(what));
        }
        Read::Late => return late(&desk),
        Read::Broken => return broken(),
    };
    match desk.batches.ask(body).await {
        Some(Ok(answer)) => reply(StatusCode::OK, JSON, answer),
        Some(Err(wrong)) => faulty(&desk, StatusCode::BAD_REQUEST, &wrong),
        None => not_now("the service is about to end"),
    }
}

/// Stalwart may defer all mail when it is answered with an error. So whatever it says that cannot be
/// understood is accepted, counted and logged.
async fn hook(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let headers = request.headers();
    // Stalwart need not say that it sends JSON; browsers always say where they come from.
    let is_silent = !headers.contains_key(CONTENT_TYPE) && !headers.contains_key(ORIGIN);
    if !is_json(headers) && !is_silent {
        return not_json();
    }
    let time = desk.shared.request_timeout();
    let read = body::read(request.into_body(), BODY_BYTES_MAX, Beyond::Discard, time).await;
    let (body, extent) = match read {
        Read::Whole(body) => (body, Extent::Whole),
        Read::Cut(body) => (body, Extent::Cut),
        Read::Late => return late(&desk),
        Read::Broken => return broken(),
    };
    let answer = match Hook::parse(&body, extent) {
        Ok(hook) => decide(&desk, &hook),
        Err(wrong) => {
            desk.front_end.is_faulty(Path::Stalwart.as_str(), &wrong);
            stalwart::ACCEPTED.to_owned()
        }
    };
    reply(StatusCode::OK, JSON, answer)
}

/// What Stalwart is to do.
fn decide(desk: &Desk, hook: &Hook<'_>) -> String {
    let (front_end, remembered) = (&desk.front_end, &desk.shared.remembered);
    let stage = hook.stage();
    let queries = hook.queries();
    let Some(first) = queries.first() else { return stalwart::ACCEPTED.to_owned() };
    if stage == Stage::Data
        && let Some(waited) = remembered.take(hook)
    {
        let effect = waited.map_or(Effect::NoObjection, |waited| Effect::AddHeader { waited });
        return stalwart::encode(&front_end.service().policy(), first, effect, stage);
    }
    front_end.decide(Front::Stalwart, front_end.now(), &queries, |policy, outcomes| {
        let effect = stalwart::strictest(outcomes);
        if stage == Stage::Rcpt {
            remembered.note(hook, effect);
        }
        stalwart::encode(policy, first, effect, stage)
    })
}

/// All numbers, put together by a thread that yields to those that decide.
async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let now = desk.front_end.now();
    let sources = desk.shared.sources.clone();
    let page = match desk.shared.looks.acquire().await {
        Ok(_look) => {
            let write = move || {
                be_nice();
                sources.write(now)
            };
            tokio::task::spawn_blocking(write).await.ok()
        }
        Err(_) => None,
    };
    match page {
        Some(page) => reply(StatusCode::OK, open_metrics::CONTENT_TYPE, page),
        None => not_now("the numbers cannot be put together now"),
    }
}

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

fn not_json() -> Response {
    let what = "send JSON, and say so: Content-Type: application/json";
    mistake(StatusCode::UNSUPPORTED_MEDIA_TYPE, &Mistake::new(what))
}

fn late(desk: &Desk) -> Response {
    desk.front_end.event(Event::HalfSent);
    mistake(StatusCode::REQUEST_TIMEOUT, &Mistake::new("the body did not come in time"))
}

fn not_now(what: &str) -> Response {
    mistake(StatusCode::SERVICE_UNAVAILABLE, &Mistake::new(what))
}

fn broken() -> Response {
    mistake(StatusCode::BAD_REQUEST, &Mistake::new("the body broke off"))
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
