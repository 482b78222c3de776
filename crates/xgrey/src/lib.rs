//! The program, as a library that its own tests can use.

pub mod command;
pub mod config;
