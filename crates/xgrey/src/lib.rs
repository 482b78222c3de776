//! The xgrey program: the only crate with sockets, a clock, logs and a command line.
//!
//! A library beside its thin `main.rs`, so that tests, benchmarks and fuzzers reach its parts; it
//! promises no stable interface.

pub mod asking;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod decision_log;
mod dialogue;
pub mod fault_log;
pub mod http;
pub mod keeper;
pub mod listen;
pub mod log;
pub mod log_sink;
pub mod machine;
pub mod metrics;
pub mod move_in;
pub mod niceness;
pub mod service;
pub mod state_dir;
pub mod thousands;
pub mod xgrey_v1;
