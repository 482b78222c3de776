//! The steps that are cargo's: format, lints, docs, licences, tests.
//!
//! What is built how often: clippy and docs share the metadata of the dependencies; doctests,
//! tests and end-to-end tests share one development build, because each names the whole
//! workspace (naming single packages would choose other features and build anew).

use anyhow::{Context as _, Result};

use crate::command::{cargo, is_installed, run};
use crate::workspace::Workspace;

/// The integration test that needs mail servers.
const END_TO_END: &str = "e2e";

/// The same as a set of tests in nextest's words.
const END_TO_END_SET: &str = "binary_id(xgrey::e2e)";

/// `cargo fmt --check`, for the fuzz targets too, which are outside of the workspace.
pub(crate) fn format(workspace: &Workspace) -> Result<()> {
    run(cargo(&workspace.root).args(["fmt", "--all", "--check"])).context("run `cargo fmt`")?;
    let fuzz = workspace.root.join("fuzz");
    if fuzz.is_dir() {
        run(cargo(&fuzz).args(["fmt", "--check"])).context("run `cargo fmt` in fuzz/")?;
    }
    Ok(())
}

/// `cargo clippy`, each warning an error.
pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
    run(cargo(&workspace.root).args(arguments).args(["--", "-D", "warnings"]))
}

/// `cargo doc`, each warning an error.
pub(crate) fn docs(workspace: &Workspace) -> Result<()> {
    run(cargo(&workspace.root)
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// `cargo deny`, by `deny.toml`. Not its advisories: they need a data base from outside.
pub(crate) fn licences(workspace: &Workspace) -> Result<()> {
    install_tool(workspace, "cargo-deny")?;
    run(cargo(&workspace.root).args(["deny", "--locked", "check", "licenses", "bans", "sources"]))
}

/// The examples in the documentation.
pub(crate) fn doctests(workspace: &Workspace) -> Result<()> {
    run(cargo(&workspace.root).args(["test", "--workspace", "--locked", "--doc"]))
}

/// All tests but the end-to-end ones.
pub(crate) fn tests(workspace: &Workspace) -> Result<()> {
    if has_nextest() {
        return nextest(workspace, &format!("not {END_TO_END_SET}"));
    }
    let mut command = cargo(&workspace.root);
    command.args(["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins"]);
    let names = workspace.packages.iter().flat_map(|package| &package.tests);
    for name in names.filter(|name| *name != END_TO_END) {
        command.args(["--test", name]);
    }
    run(&mut command)
}

/// The end-to-end tests.
pub(crate) fn end_to_end(workspace: &Workspace) -> Result<()> {
    if has_nextest() {
        return nextest(workspace, END_TO_END_SET);
    }
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast", "--test", END_TO_END];
    run(cargo(&workspace.root).args(arguments))
}

/// Installs one of cargo's own tools when it is missing.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn install_tool(workspace: &Workspace, name: &str) -> Result<()> {
    let subcommand = name.trim_start_matches("cargo-");
    let asked = cargo(&workspace.root).args([subcommand, "--version"]).output();
    if asked.is_ok_and(|answer| answer.status.success()) {
        return Ok(());
    }
    println!("{name} is missing; installing it takes some minutes, once");
    run(cargo(&workspace.root).args(["install", "--locked", name]))
        .with_context(|| format!("install it by hand: cargo install --locked {name}"))
}

fn nextest(workspace: &Workspace, set: &str) -> Result<()> {
    let arguments = ["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
    run(cargo(&workspace.root).args(arguments).args(["-E", set]))
}

fn has_nextest() -> bool {
    is_installed("cargo-nextest")
}
