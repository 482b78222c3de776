//! What is packaged: the systemd unit, the man pages it names, the default configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{capture, cargo, is_installed, read, run};
use crate::workspace::Workspace;

/// The unit, below the workspace's folder.
const UNIT: &str = "packaging/systemd/xgrey.service";

/// Where the package puts the program, as the unit says.
const PROGRAM: &str = "/usr/bin/xgrey";

/// The most exposed that the unit may be, in tenths, as `systemd-analyze security` counts (0 is
/// locked up, 100 is root's own shell). It needs the network, UNIX sockets and netlink, which
/// alone make 9.
const EXPOSURE_MAX: &str = "15";

/// Checks all that is packaged, with the program as the tests built it.
///
/// # Errors
/// When something is wrong with it, with what the tool that found it says.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    // The whole workspace is named so that it is the build that the tests have.
    run(cargo(&workspace.root).args(["build", "--workspace", "--locked", "--bin", "xgrey"]))?;
    let program = workspace.target.join("debug/xgrey");
    let folder = workspace.target.join("packaging");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;

    let unit = fs::read_to_string(workspace.root.join(UNIT)).context(UNIT)?;
    systemd_accepts(&unit, &program, &folder)?;
    man_pages_exist(&unit, &program, &folder)?;
    default_configuration_is_valid(&program, &folder)
}

/// Asks systemd about the unit, with the program where it was built.
fn systemd_accepts(unit: &str, program: &Path, folder: &Path) -> Result<()> {
    ensure!(
        is_installed("systemd-analyze"),
        "systemd-analyze is missing: run `cargo xtask test --only mta` as root"
    );
    let copy = folder.join("xgrey.service");
    fs::write(&copy, unit.replace(PROGRAM, &program.display().to_string()))?;

    let arguments = ["verify", "--man=no", "--recursive-errors=no"];
    let verified = capture(Command::new("systemd-analyze").args(arguments).arg(&copy))?;
    let said = String::from_utf8_lossy(&verified.stderr);
    // Some mistakes are only warned of; and it may complain of other units of this machine.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("xgrey")).collect();
    ensure!(
        verified.status.success() && ours.is_empty(),
        "systemd-analyze verify {UNIT}: {}\n{said}",
        verified.status
    );

    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let rated = capture(Command::new("systemd-analyze").args(arguments).arg(&copy))?;
    let table = String::from_utf8_lossy(&rated.stdout);
    ensure!(rated.status.success(), "{UNIT} is too exposed:\n{table}");
    println!("{}", table.lines().last().unwrap_or("rated").trim());
    Ok(())
}

/// The manual pages that the unit names are among those that the program makes.
fn man_pages_exist(unit: &str, program: &Path, folder: &Path) -> Result<()> {
    let pages = folder.join("man");
    fs::create_dir_all(&pages)?;
    run(Command::new(program).args(["generate", "man"]).arg(&pages))?;
    let named = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Documentation="))
        .flat_map(str::split_whitespace)
        .filter_map(|page| page.strip_prefix("man:")?.strip_suffix("(1)"));
    for page in named {
        let path: PathBuf = pages.join(format!("{page}.1"));
        ensure!(path.is_file(), "{UNIT} names man page {page}(1), which the program does not make");
    }
    Ok(())
}

/// What `xgrey config default` prints passes `xgrey config check`.
fn default_configuration_is_valid(program: &Path, folder: &Path) -> Result<()> {
    let config = folder.join("xgrey.toml");
    fs::write(&config, read(Command::new(program).args(["config", "default"]))?)?;
    run(Command::new(program).args(["config", "check"]).arg(&config))
}
