//! X-Grey's protocol, served as a front end serves it, without sockets: against what the original was
//! seen to answer, and against a model written from the specification. Time is made up, so that a day
//! passes in a moment.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

mod captured;
mod front_end;
mod model;
mod replay;
mod reports;
mod requests;
mod server;
mod vectors;
