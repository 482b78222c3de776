//! The whole program under real mail servers: Debian's Postfix, Exim, Sendmail and OpenSMTPD, private folders,
//! loopback only, swaks as the world. And the program over disks that fill, fail and go.
//!
//! What it stands on: `cargo xtask test --only mta` has unpacked the mail servers into
//! `target/mta`, and the tests run as root (a mail server needs its own users, which only a mount
//! namespace of its own can give without touching the machine). Where that is missing a test
//! fails and says so; it never skips.
//!
//! Nothing here asserts how long something took: an embargo of hours shows what happens before
//! its end, one of two seconds what happens after it, and a retry is repeated until it is
//! answered differently.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

mod asker;
mod asks_by_hand;
mod changes_rules;
mod checks_by_script;
mod exim;
mod exim_as_greylistd;
mod faults_at_start;
mod faults_while_running;
mod filters_by_hand;
mod keeps_live_rules;
mod mail_through_exim;
mod mail_through_milters;
mod mail_through_opensmtpd;
mod mail_through_postfix;
mod manual;
mod moves_house;
mod moves_in_from_x_grey;
mod namespace;
mod one_memory;
mod opensmtpd;
mod place;
mod postfix;
mod process;
mod runs_as_a_service;
mod sendmail;
mod server;
mod small_disk;
mod smtp;
mod speaks_http;
mod terminal;
mod types_in_the_shell;
mod wait;
mod world;
mod x_grey;
#[path = "../x_grey/model.rs"]
mod x_grey_model;
mod x_grey_replay;
#[path = "../x_grey/requests.rs"]
#[allow(dead_code, reason = "the tests without sockets ask for more")]
mod x_grey_requests;
#[path = "../x_grey/vectors.rs"]
#[allow(dead_code, reason = "here a part of the vectors is looked at")]
mod x_grey_vectors;
