//! What the workspace is made of, as cargo and git tell it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{cargo, read};

/// The workspace.
pub(crate) struct Workspace {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Its packages.
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The packages it is built from.
    pub(crate) dependencies: BTreeSet<String>,
    /// The packages that only its tests and benches use.
    pub(crate) dev_dependencies: BTreeSet<String>,
    /// The names of its integration tests.
    pub(crate) tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When `cargo metadata` fails or tells something unexpected.
    pub(crate) fn load() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let arguments = ["metadata", "--format-version", "1", "--no-deps"];
        let text = read(cargo(here).args(arguments))?;
        let metadata: Value = serde_json::from_str(&text).context("what cargo metadata wrote")?;
        Self::from_metadata(&metadata).context("cargo metadata lacks something")
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let listed = metadata["packages"].as_array()?;
        let packages: Option<Vec<Package>> = listed.iter().map(Package::from_metadata).collect();
        Some(Self {
            root: metadata["workspace_root"].as_str()?.into(),
            target: metadata["target_directory"].as_str()?.into(),
            packages: packages?,
        })
    }

    /// The files that git tracks or would track: all but what is ignored. Relative to the root.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others"]);
        let listed = read(git.arg("--exclude-standard"))?;
        let all: BTreeSet<PathBuf> =
            listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        // A file that was just deleted is still in git's index.
        Ok(all.into_iter().filter(|file| self.root.join(file).is_file()).collect())
    }
}

impl Package {
    fn from_metadata(package: &Value) -> Option<Self> {
        let is_dev = |dependency: &&Value| dependency["kind"].as_str() == Some("dev");
        let is_test = |target: &&Value| target["kind"][0].as_str() == Some("test");
        let (dev, normal) = package["dependencies"].as_array()?.iter().partition(is_dev);
        let tests: Vec<&Value> = package["targets"].as_array()?.iter().filter(is_test).collect();
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
            dependencies: names(normal)?,
            dev_dependencies: names(dev)?,
            tests: names(tests)?,
        })
    }
}

fn names<Names: FromIterator<String>>(items: Vec<&Value>) -> Option<Names> {
    items.into_iter().map(|item| Some(item["name"].as_str()?.to_owned())).collect()
}
