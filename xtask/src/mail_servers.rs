//! What the end-to-end tests need of Debian: swaks and the tools for small disks on the search path,
//! and the mail servers unpacked below `target/mta`.
//!
//! Unpacked, not installed: mail servers conflict with each other and with what the machine may
//! run. Only the libraries that they need are installed. Asks apt-get for nothing when all is
//! there.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{capture, is_installed, read, run};
use crate::workspace::Workspace;

/// Programs the tests start, with the packages they come in.
const PROGRAMS: [(&str, &str); 11] = [
    ("swaks", "swaks"),
    // Sendmail's configuration is made by it.
    ("m4", "m4"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("findmnt", "util-linux"),
    ("mount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("systemd-analyze", "systemd"),
    ("curl", "curl"),
    ("python3", "python3"),
];

/// Folders below `target/mta`, with the packages unpacked into each.
const UNPACKED: [(&str, &[&str]); 6] = [
    ("postfix", &["postfix"]),
    ("exim", &["exim4-daemon-heavy", "exim4-base", "exim4-config"]),
    ("exim-greylistd", &["exim4-daemon-heavy", "exim4-base", "exim4-config", "greylistd"]),
    ("sendmail", &["sendmail-bin", "sendmail-base", "sendmail-cf", "sensible-mda"]),
    ("opensmtpd", &["opensmtpd"]),
    // Prometheus's own parser of OpenMetrics.
    ("openmetrics", &["python3-prometheus-client", "python3-decorator"]),
];

/// Installs and unpacks what is missing.
///
/// # Errors
/// When something is missing and we are not root, or apt-get cannot get it; with what to do.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let home = workspace.target.join("mta");
    let packages: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| package)
        .collect();
    let folders: Vec<_> =
        UNPACKED.into_iter().filter(|(folder, _)| !home.join(folder).is_dir()).collect();
    if packages.is_empty() && folders.is_empty() {
        println!("all there: {}", home.display());
        return Ok(());
    }

    let apt = Apt::new(&packages, &folders)?;
    apt.install(&packages)?;
    for (folder, packages) in folders {
        apt.install(&apt.missing_libraries(packages)?)?;
        apt.unpack(packages, &home, folder)?;
    }
    println!("unpacked into {}", home.display());
    Ok(())
}

/// Debian's package manager, whose lists are brought up to date before the first use.
struct Apt {
    is_updated: Cell<bool>,
}

impl Apt {
    /// # Errors
    /// Where there is no apt-get, or we may not use it.
    fn new(packages: &[&str], folders: &[(&str, &[&str])]) -> Result<Self> {
        let to_unpack = folders.iter().flat_map(|(_, packages)| packages.iter().copied());
        let all: Vec<&str> = packages.iter().copied().chain(to_unpack).collect();
        let all = all.join(" ");
        ensure!(
            is_installed("apt-get"),
            "the end-to-end tests need these packages of Debian, and there is no apt-get here: {all}"
        );
        let id = read(Command::new("id").arg("-u"))?;
        ensure!(
            id.trim() == "0",
            "missing: {all}. Run `cargo xtask test --only mta` as root; it installs and unpacks them"
        );
        Ok(Self { is_updated: Cell::new(false) })
    }

    fn install<Name: AsRef<str>>(&self, packages: &[Name]) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let names = packages.iter().map(AsRef::as_ref);
        let arguments = ["install", "--yes", "--no-install-recommends"];
        self.get(Path::new("."), arguments.into_iter().chain(names))
    }

    /// The libraries that those packages depend on and this machine lacks.
    fn missing_libraries(&self, packages: &[&str]) -> Result<Vec<String>> {
        self.update()?;
        let mut missing = Vec::new();
        let mut ask = Command::new("apt-cache");
        ask.args(["depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]);
        ask.args(["--no-replaces", "--no-enhances"]).args(packages);
        for line in read(&mut ask)?.lines() {
            // "  Depends: libdb5.3"; other kinds of packages would bring services along.
            let Some(("Depends" | "PreDepends", name)) = line.trim().split_once(": ") else {
                continue;
            };
            if name.starts_with("lib") && !is_package_installed(name)? {
                missing.push(name.to_owned());
            }
        }
        Ok(missing)
    }

    /// Downloads the packages and unpacks them into `home/folder`, which exists only when it is
    /// whole.
    fn unpack(&self, packages: &[&str], home: &Path, folder: &str) -> Result<()> {
        let archives = home.join(format!("{folder}.deb"));
        let part = home.join(format!("{folder}.part"));
        for path in [&archives, &part] {
            if path.exists() {
                fs::remove_dir_all(path).with_context(|| path.display().to_string())?;
            }
            fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        }
        self.get(&archives, ["download"].into_iter().chain(packages.iter().copied()))?;
        for entry in fs::read_dir(&archives)? {
            run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(&part))?;
        }
        fs::remove_dir_all(&archives)?;
        fs::rename(&part, home.join(folder))?;
        Ok(())
    }

    fn update(&self) -> Result<()> {
        if self.is_updated.replace(true) {
            return Ok(());
        }
        self.get(Path::new("."), ["update"])
    }

    fn get<'a>(&self, folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        if arguments != ["update"] {
            self.update()?;
        }
        run(Command::new("apt-get")
            .current_dir(folder)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["--quiet=2", "-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0"])
            // Another apt-get may be at work on this machine.
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(&arguments))
        .with_context(|| {
            let task = arguments.join(" ");
            format!(
                "`apt-get {task}` failed: its words are above. The end-to-end tests need Debian's \
                 packages: mend the sources of apt-get, or run the other steps alone \
                 (cargo xtask test --list)"
            )
        })
    }
}

fn is_package_installed(name: &str) -> Result<bool> {
    let output =
        capture(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", name]))?;
    match String::from_utf8(output.stdout) {
        Ok(status) => Ok(status == "installed"),
        Err(_) => bail!("dpkg-query said something odd of {name}"),
    }
}
