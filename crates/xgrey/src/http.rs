//! HTTP, as a front end: questions in JSON become a batch for the service, and what comes of them becomes
//! JSON again; health, and metrics for Prometheus.
//!
//! ```text
//!  body ─ token? ─ JSON? ─┐
//!  body ─ token? ─ JSON? ─┼▶ Asked ─ one batch ─▶ Service::answer ─▶ Said ─▶ bodies
//!  body ─ token? ─ JSON? ─┘
//! ```
//! On `axum` over `hyper`, on threads of its own. [`OPENAPI`] describes every path, and the tests hold
//! every answer to it.
//!
//! Never knows: clocks (but for asking the service's), what is decided.

mod batches;
mod body;
mod check;
mod front_end;
mod mistake;
mod open_metrics;
mod places;
mod responses;
mod routes;
mod server;
mod stalwart;

pub use self::check::{Asked, BODY_BYTES_MAX, QUESTIONS_MAX};
pub use self::front_end::{FrontEnd, FrontEndParts};
pub use self::mistake::Mistake;
pub use self::open_metrics::Sources;
pub use self::places::{PLACES_MAX, Place, Places};
pub use self::responses::{Path, Responses, STATUSES};
pub use self::routes::{Desk, Guarded, OPENAPI, Shared};
pub use self::server::{Parts, Server};
pub use self::stalwart::{Extent, Hook, Remembered, Stage};
