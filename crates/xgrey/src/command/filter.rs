//! `xgrey filter`: a process that a mail server starts and asks, and that asks the running service.

mod askers;
mod health;
mod opensmtpd;
mod sessions;

use super::Failure;
use crate::cli::filter::FilterCommand;

/// Runs until the mail server ends.
pub fn run(command: &FilterCommand) -> Result<(), Failure> {
    match command {
        FilterCommand::Opensmtpd(args) => opensmtpd::run(args),
    }
}
