//! HTTP as a front end: requests as clients send them, on the routes themselves and over sockets. Every
//! answer is held to the description that is served.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

mod check;
mod described;
mod guarded;
mod metrics;
mod served;
mod stalwart;
mod world;
