//! The flags of `xgrey filter`.

use clap::{Args, Subcommand};
use greylist::Secs;

use super::check::{PolicyAddress, policy_address};
use crate::config::length_of_time;

pub(super) const OPENSMTPD_HELP: &str = "\
smtpd starts it, talks to it over its standard input and output, and logs what it says. It ends when smtpd \
does. It asks the running service about each recipient; while nobody answers there, mail flows.

Example, for smtpd.conf:
  filter \"xgrey\" proc-exec \"/usr/bin/xgrey filter opensmtpd\" user nobody group nogroup
  listen on 0.0.0.0 filter \"xgrey\"";

/// The mail servers that want a filter.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum FilterCommand {
    /// For OpenSMTPD, which starts it: `proc-exec` in smtpd.conf
    #[command(after_help = OPENSMTPD_HELP)]
    Opensmtpd(OpensmtpdArgs),
}

/// Flags of `xgrey filter opensmtpd`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct OpensmtpdArgs {
    /// Whom to ask, over Postfix's policy protocol: the service's HOST:PORT, or unix:PATH [default:
    /// 127.0.0.1:10023]
    #[arg(long, value_name = "ADDRESS", value_parser = policy_address)]
    pub policy: Option<PolicyAddress>,
    /// How long a recipient waits for its answer at most; then it is let in
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = length_of_time)]
    pub timeout: Secs,
    /// Add no X-Greylist header: messages then don't pass through the filter
    #[arg(long)]
    pub no_header: bool,
}
