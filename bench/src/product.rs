//! xgrey as it comes: the program beside this one, with a configuration, state and control socket
//! of its own in a directory that goes when the run is over.
//!
//! Never knows: anything of xgrey but its command line and its configuration file.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::process::{self, Probe, Started};
use crate::report::DecisionLog;

/// The embargo it is started with: as short as can be, so that the known tuples have passed when
/// measuring begins.
const EMBARGO: &str = "1s";
/// After so long a second has passed by any clock that counts whole seconds.
pub(crate) const EMBARGO_OVER: Duration = Duration::from_secs(2);

/// Where it keeps its tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// As it comes: on disk, synced each second, with their addresses.
    OnDisk,
    /// In memory alone.
    InMemory,
}

impl Keeping {
    const fn word(self) -> &'static str {
        match self {
            Self::OnDisk => "kept",
            Self::InMemory => "in-memory",
        }
    }
}

/// Starts the xgrey of the same build on one CPU, with a folder of its own in `directory`.
///
/// # Errors
/// When there is no such program, or it does not start.
pub(crate) fn start(
    cpu: usize,
    directory: &Path,
    log: DecisionLog,
    keeping: Keeping,
) -> anyhow::Result<Started> {
    let directory = &directory.join(keeping.word());
    fs::create_dir(directory)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
    let configuration = configuration("postfix", address, directory, log, keeping);
    serve(cpu, directory, &configuration, address, process::takes_connections)
}

/// Starts it likewise for the milter protocol, with its tuples on disk.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_milter(
    cpu: usize,
    directory: &Path,
    log: DecisionLog,
) -> anyhow::Result<Started> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
    let configuration = configuration("milter", address, directory, log, Keeping::OnDisk);
    serve(cpu, directory, &configuration, address, process::takes_connections)
}

/// Starts it likewise with another listener, for greylistd's protocol, at the UNIX socket `path`.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_greylistd(
    cpu: usize,
    directory: &Path,
    path: &Path,
) -> anyhow::Result<Started> {
    let directory = &directory.join("greylistd");
    fs::create_dir(directory)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
    // First, so that it is there when the port is.
    let listener = format!(
        "[[listen]]\nprotocol = \"greylistd\"\naddress = \"unix:{}\"\n\n[[listen]]",
        path.display()
    );
    let configuration =
        configuration("postfix", address, directory, DecisionLog::Off, Keeping::OnDisk).replacen(
            "[[listen]]",
            &listener,
            1,
        );
    serve(cpu, directory, &configuration, address, process::takes_connections)
}

/// Starts it likewise for X-Grey's protocol, in `directory`, where its state may be already. It then
/// has the original's times.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_x_grey(
    cpu: usize,
    directory: &Path,
    log: DecisionLog,
    probe: Probe,
) -> anyhow::Result<Started> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
    let decisions = decisions(directory, log);
    let configuration = format!(
        "profile = \"x-grey\"\n\n\
         [[listen]]\nprotocol = \"x-grey\"\naddress = \"{address}\"\n\n\
         [log]\n{decisions}\n"
    );
    serve(cpu, directory, &configuration, address, probe)
}

/// Starts it likewise for HTTP: its tuples on disk, one thread.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_http(
    cpu: usize,
    directory: &Path,
    log: DecisionLog,
) -> anyhow::Result<Started> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
    let decisions = decisions(directory, log);
    let configuration = format!(
        "embargo = \"{EMBARGO}\"\n\n\
         [[listen]]\nprotocol = \"http\"\naddress = \"{address}\"\n\n\
         [log]\n{decisions}\n"
    );
    serve(cpu, directory, &configuration, address, process::takes_connections)
}

/// Where, in the directory that it was started in, its state is.
pub(crate) const STATE: &str = "state";
/// Where its control socket is.
const RUNTIME: &str = "run";

/// What the xgrey that was started in `directory` has counted: its own words, as JSON.
///
/// # Errors
/// When it can't be asked.
pub(crate) fn stats(directory: &Path) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(program()?)
        .args(["ctl", "stats", "--json", "--control"])
        .arg(directory.join(RUNTIME).join("control.sock"))
        .output()?;
    if !output.status.success() {
        bail!("xgrey ctl stats: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("what xgrey ctl stats has printed")
}

/// The program beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("xgrey");
    if !program.is_file() {
        bail!(
            "there is no {}: build it with `cargo build --release --workspace`, or name a server \
             with --spawn or --server",
            program.display()
        );
    }
    Ok(program)
}

fn serve(
    cpu: usize,
    directory: &Path,
    configuration: &str,
    address: SocketAddr,
    probe: Probe,
) -> anyhow::Result<Started> {
    let program = program()?;
    let file = directory.join("xgrey.toml");
    fs::write(&file, configuration).context("write xgrey.toml")?;
    let (state, runtime) = (directory.join(STATE), directory.join(RUNTIME));
    for made in [&state, &runtime] {
        fs::create_dir_all(made)?;
    }
    let command = [
        program.as_os_str(),
        "serve".as_ref(),
        "--config".as_ref(),
        file.as_os_str(),
        "--state".as_ref(),
        state.as_os_str(),
        "--runtime".as_ref(),
        runtime.as_os_str(),
    ];
    Started::command(cpu, &command, address, probe, directory.join("xgrey.output"))
        .with_context(|| format!("start {}", program.display()))
}

fn configuration(
    protocol: &str,
    address: SocketAddr,
    directory: &Path,
    log: DecisionLog,
    keeping: Keeping,
) -> String {
    let decisions = decisions(directory, log);
    let store = match keeping {
        Keeping::OnDisk => "",
        Keeping::InMemory => "[store]\njournal = false\nkeep_text = false\n\n",
    };
    format!(
        "embargo = \"{EMBARGO}\"\n\n\
         [[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n\n\
         {store}[log]\n{decisions}\n"
    )
}

fn decisions(directory: &Path, log: DecisionLog) -> String {
    match log {
        DecisionLog::Off => "decisions = false".to_owned(),
        DecisionLog::On => {
            let file = directory.join("decisions.log");
            format!("decisions = true\ndecision_file = \"{}\"", file.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_its_port_and_its_log() {
        let address = SocketAddr::from(([127, 0, 0, 1], 10023));
        let directory = Path::new("/tmp/bench");
        insta::assert_snapshot!(configuration("postfix", address, directory, DecisionLog::On, Keeping::OnDisk), @r#"
        embargo = "1s"

        [[listen]]
        protocol = "postfix"
        address = "127.0.0.1:10023"

        [log]
        decisions = true
        decision_file = "/tmp/bench/decisions.log"
        "#);
        let off = configuration("postfix", address, directory, DecisionLog::Off, Keeping::InMemory);
        let end = "[store]\njournal = false\nkeep_text = false\n\n[log]\ndecisions = false\n";
        assert!(off.ends_with(end), "{off}");
    }
}
