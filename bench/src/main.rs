//! `xgrey-bench`: how fast xgrey is, and how much memory it takes.
//!
//! Machines differ too much for figures alone to mean anything, so each measurement of a server is
//! taken beside a *null server*, the least that any server of the protocol must do, and what counts is
//! the ratio. The store is measured by itself, in simulated time.
//!
//! Never knows: xgrey's crates, but for what the store's benchmarks need. It talks to servers as bytes,
//! so it can measure any of them.
//!
//! | file | subject |
//! |---|---|
//! | `policy.rs` | the subcommand `policy`: which servers, which load, in which order |
//! | `request.rs`, `reply.rs` | what Postfix asks, and what it expects to hear |
//! | `load.rs` | closed-loop load over epoll; knows no protocol |
//! | `floor.rs` | the loop that null servers of streams share: one thread, one epoll |
//! | `null.rs` | the null server |
//! | `process.rs`, `listener.rs` | other processes: start, pin, CPU time, memory; who listens on a port |
//! | `product.rs` | xgrey as it comes, started in a directory of its own |
//! | `report.rs` | samples → medians, ratios, goals; text and JSON |
//! | `publish.rs` | where a report goes |
//! | `store.rs` | the subcommand `store`: the table of tuples, filled, measured and checked |
//! | `recovery.rs` | the subcommand `recovery`: a state directory made, and opened from a cold disk |
//! | `x_grey.rs` | the subcommand `x-grey`: X-Grey's protocol over UDP; floods and bursts |
//! | `milter.rs` | the subcommand `milter`: whole sessions of the milter protocol |
//! | `greylistd.rs` | the subcommand `greylistd`: a connection a request over UNIX sockets, as Exim asks |
//! | `http.rs` | the subcommand `http`: questions in JSON over HTTP |
//! | `turns.rs` | what those three have in common: a null server and xgrey, in turns |
//! | `state.rs` | a store's state directory, and the threads that look after it |
//! | `machine.rs`, `units.rs` | which machine this is; numbers as people read them |

mod clock;
mod floor;
mod greylistd;
mod http;
mod listener;
mod load;
mod machine;
mod milter;
mod null;
mod policy;
mod process;
mod product;
mod publish;
mod recovery;
mod reply;
mod report;
mod request;
mod state;
mod store;
mod turns;
mod units;
mod x_grey;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures mail policy servers: throughput, latency, CPU time and memory, as ratios to a null
/// server measured in the same run. And xgrey's store by itself.
#[derive(Debug, Parser)]
#[command(name = "xgrey-bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Closed-loop load over Postfix's policy protocol, as ratios to a null server in the same run
    ///
    /// Without --server or --spawn, the xgrey of the same build is started in a directory of its
    /// own, with an embargo of one second, so that the known tuples have passed when measuring
    /// begins.
    Policy(Box<policy::Options>),
    /// X-Grey's protocol over UDP, as ratios to a null server in the same run; floods and bursts
    ///
    /// Without --server or --spawn, the xgrey of the same build is started in a directory of its
    /// own, in which so many tuples are known already.
    XGrey(Box<x_grey::Options>),
    /// Whole sessions of the milter protocol, as ratios to a null milter in the same run
    ///
    /// The xgrey of the same build is started in a directory of its own, with an embargo of one second. A session is
    /// a connection, a negotiation, a message to two recipients, its end, and the connection's.
    Milter(Box<milter::Options>),
    /// The null milter: agrees to what xgrey agrees to, and continues
    #[command(hide = true)]
    NullMilter,
    /// greylistd's protocol as Exim speaks it, as ratios to a null responder in the same run
    ///
    /// The xgrey of the same build is started in a directory of its own, with an embargo of one second.
    /// A request is a connection over a UNIX socket, a question, and an answer up to the end.
    Greylistd(Box<greylistd::Options>),
    /// The null responder: takes a connection, reads once, answers `false`
    #[command(hide = true)]
    NullGreylistd,
    /// Questions in JSON over HTTP, as ratios to a null responder on the same stack in the same run
    ///
    /// The xgrey of the same build is started in a directory of its own, with an embargo of one second, so
    /// that the known tuples have passed when measuring begins.
    Http(Box<http::Options>),
    /// The store itself, in simulated time: filled to a number of tuples, measured at each level on the
    /// way and checked
    ///
    /// Tuples come evenly, as many as are to live in one window, so the table is full when the first
    /// of them expire. What is asked for is compared with the project's goals.
    Store(Box<store::Options>),
    /// A state directory of so many tuples, read from a cold disk: what its snapshot and its journal
    /// take, and whether all is there
    Recovery(Box<recovery::Options>),
    /// Makes a state directory for `recovery`
    #[command(hide = true)]
    RecoveryMake(recovery::MakeOptions),
    /// Opens one
    #[command(hide = true)]
    RecoveryOpen(recovery::OpenOptions),
    /// The null server: finds the end of each request and answers DUNNO
    #[command(hide = true)]
    Null(null::Options),
    /// The null server of X-Grey's protocol: looks at the checksum and answers
    #[command(hide = true)]
    NullXGrey(x_grey::NullOptions),
    /// The null responder of HTTP: reads the body and answers
    #[command(hide = true)]
    NullHttp,
    /// Runs a command on one CPU, until it ends or this program does
    #[command(hide = true)]
    Launch(process::LaunchOptions),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Policy(options) => policy::run(&options),
        Command::XGrey(options) => x_grey::run(&options),
        Command::Milter(options) => milter::run(&options),
        Command::NullMilter => milter::null::run(),
        Command::Greylistd(options) => greylistd::run(&options),
        Command::NullGreylistd => greylistd::null::run(),
        Command::Http(options) => http::run(&options),
        Command::NullHttp => http::null::run(),
        Command::NullXGrey(options) => x_grey::null(&options),
        Command::Store(options) => store::run(&options),
        Command::Recovery(options) => recovery::run(&options),
        Command::RecoveryMake(options) => recovery::make(&options),
        Command::RecoveryOpen(options) => recovery::open(&options),
        Command::Null(options) => null::run(&options),
        Command::Launch(options) => process::launch(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xgrey-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
