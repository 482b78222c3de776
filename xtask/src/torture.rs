//! The `kill -9` campaign: `cargo xtask torture --kills 200`. A release build, since what is shipped
//! is what must hold, and progress as it goes. The campaign itself is a test of xgrey's,
//! `crates/xgrey/tests/torture`; `cargo xtask test` runs it with few kills.

use anyhow::{Context as _, Result};

use crate::command::{cargo, run};
use crate::workspace::Workspace;

/// The test's name within its target.
const CAMPAIGN: &str = "nothing_that_was_answered_is_lost_however_often_the_service_is_killed";

/// Kills the service so often, and fails if anything that it had answered was lost.
///
/// # Errors
/// When something was lost or wrong, after its story; or when it can't be run at all.
pub(crate) fn campaign(workspace: &Workspace, kills: u32, seed: Option<u64>) -> Result<()> {
    let mut command = cargo(&workspace.root);
    command
        .args(["test", "--release", "--locked", "--package", "xgrey", "--test", "torture"])
        .args(["--", "--exact", CAMPAIGN, "--nocapture"])
        .env("XGREY_TORTURE_KILLS", kills.to_string());
    if let Some(seed) = seed {
        command.env("XGREY_TORTURE_SEED", seed.to_string());
    }
    run(&mut command).context("the campaign has failed: what was found is above")
}
