//! Running other programs: what is run is shown, and how it ended is never overlooked.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Runs a program whose output goes where ours goes.
///
/// # Errors
/// When it cannot be started or does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    // What it prints must come after what we have printed, on CI's pipe too.
    println!("$ {}", words(command));
    let status = command.status().with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs a program quietly and gives what it wrote to standard output.
///
/// # Errors
/// When it cannot be started or does not end well; then with what it wrote.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = capture(command)?;
    if !output.status.success() {
        let wrote = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", words(command), output.status, wrote.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {} wrote", name(command)))
}

/// Runs a program quietly, however it ends.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot start {}", name(command)))
}

/// Whether there is a program of that name on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A `cargo` command in `folder`: the cargo that runs us.
pub(crate) fn cargo(folder: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder);
    command
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string()
}

fn words(command: &Command) -> String {
    let mut text = name(command);
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
