//! Rules about rooms: who may depend on whom, what rooms are called, which lints they live by.

use std::collections::BTreeSet;

use super::{Finding, Tree};
use crate::workspace::{Package, Workspace};

/// The packages from the bottom up, each with those of ours that it may use. `wire` and `store`
/// never know each other; the bench measures programs from outside, and of our crates only the store,
/// which has no protocol to be measured through; xtask must build when nothing else does.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("greylist", &[]),
    ("wire", &["greylist"]),
    ("store", &["greylist"]),
    ("xgrey", &["greylist", "store", "wire"]),
    ("xgrey-bench", &["greylist", "store"]),
    ("xtask", &[]),
];

/// The packages that only compute: no I/O, no clock, no logging, no serialised shapes.
const PURE: [&str; 2] = ["greylist", "wire"];

/// What a package that only computes never uses, tests aside.
const IMPURE: [&str; 10] = [
    "anyhow",
    "jiff",
    "log",
    "nix",
    "rustix",
    "serde",
    "serde_json",
    "socket2",
    "tokio",
    "tracing",
];

/// Names that say nothing about what is inside.
const GRAB_BAGS: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];

/// Crates depend downwards only, whatever for.
pub(super) fn dependencies_point_down(workspace: &Workspace) -> Vec<Finding> {
    workspace.packages.iter().flat_map(wrong_dependencies).collect()
}

fn wrong_dependencies(package: &Package) -> Vec<Finding> {
    let at = format!("{}/Cargo.toml", package.name);
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::new(&at, 0, "has no place in MAY_USE (xtask/src/tidy/rooms.rs)")];
    };
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let all = package.dependencies.iter().chain(&package.dev_dependencies).map(String::as_str);
    let sideways = all
        .filter(|name| ours.contains(name) && !allowed.contains(name))
        .map(|name| Finding::new(&at, 0, format!("must not depend on {name}")));
    let is_pure = PURE.contains(&package.name.as_str());
    let impure = package
        .dependencies
        .iter()
        .filter(|name| is_pure && IMPURE.contains(&name.as_str()))
        .map(|name| Finding::new(&at, 0, format!("only computes, so must not use {name}")));
    sideways.chain(impure).collect()
}

/// No file and no folder is called by what says nothing.
pub(super) fn no_room_is_a_grab_bag(tree: &Tree) -> Vec<Finding> {
    let is_bag = |name: &str| GRAB_BAGS.contains(&name.split('.').next().unwrap_or(name));
    tree.paths
        .iter()
        .filter(|path| path.split('/').any(is_bag))
        .map(|path| Finding::new(path, 0, "is a grab bag: call it by what is inside"))
        .collect()
}

/// Every crate lives by the workspace's lints.
pub(super) fn crates_inherit_the_lints(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let manifests: BTreeSet<String> = workspace
        .packages
        .iter()
        .filter_map(|package| package.folder.strip_prefix(&workspace.root).ok())
        .map(|folder| format!("{}/Cargo.toml", folder.display()))
        .collect();
    tree.ending("Cargo.toml")
        .filter(|file| manifests.contains(&file.path) && !inherits_lints(&file.text))
        .map(|file| Finding::new(&file.path, 0, "lacks `[lints] workspace = true`"))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_finds;

    fn package(name: &str, dependencies: &[&str], dev_dependencies: &[&str]) -> Package {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Package {
            name: name.to_owned(),
            folder: name.into(),
            dependencies: owned(dependencies),
            dev_dependencies: owned(dev_dependencies),
            tests: Vec::new(),
        }
    }

    #[test]
    fn a_crate_may_use_those_below_it_only() {
        for (name, dependencies, dev_dependencies, wrong) in [
            ("xgrey", &["greylist", "store", "wire", "tokio"][..], &[][..], 0),
            ("wire", &["greylist", "memchr"], &["proptest"], 0),
            ("wire", &["greylist", "store"], &[], 1),
            ("store", &["greylist"], &["wire"], 1),
            ("greylist", &["store"], &["xgrey"], 2),
            ("greylist", &["serde"], &["serde_json"], 1),
            ("xgrey-bench", &["wire"], &[], 1),
            ("newcomer", &[], &[], 1),
        ] {
            let found = wrong_dependencies(&package(name, dependencies, dev_dependencies));
            assert_eq!(found.len(), wrong, "{name}: {found:?}");
        }
    }

    #[test]
    fn a_grab_bag_is_found_as_a_file_and_as_a_folder() {
        let tree = Tree::of(&[
            ("crates/wire/src/utils.rs", ""),
            ("crates/common/Cargo.toml", ""),
            ("docs/utility.md", ""),
            ("tests/helpers/mod.rs", ""),
        ]);
        assert_finds(
            &no_room_is_a_grab_bag(&tree),
            &["crates/wire/src/utils.rs:0", "crates/common/Cargo.toml:0", "tests/helpers/mod.rs:0"],
        );
    }

    #[test]
    fn lints_are_inherited_by_their_own_table_only() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
        assert!(!inherits_lints("[lints.rust]\nunsafe_code = \"allow\"\n"));
        assert!(!inherits_lints("[lints]\n\n[dependencies]\nworkspace = true\n"));
    }
}
