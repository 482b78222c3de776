//! The project's own rules, as checks: a rule that nothing checks is a wish.
//!
//! Each rule is a function from the tree of files to findings and lies with its like in
//! `tidy/*`. Where a rule has exceptions they are a list in its file, each with its reason; an
//! exception that is no longer needed is a finding too.

mod addresses;
mod links;
mod named_tests;
mod rooms;
mod sources;

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// The files that git tracks or would track.
struct Tree {
    /// The paths of all files, relative to the workspace's folder, with `/` between.
    paths: Vec<String>,
    /// Those that are text.
    texts: Vec<TextFile>,
}

/// A file whose bytes are UTF-8.
struct TextFile {
    path: String,
    text: String,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 where it concerns the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        match line {
            0 => write!(f, "{path}: {what}"),
            _ => write!(f, "{path}:{line}: {what}"),
        }
    }
}

/// Checks all rules.
///
/// # Errors
/// When a rule is broken, after printing where and which.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(workspace)?;
    let mut findings = Vec::new();
    findings.extend(rooms::dependencies_point_down(workspace));
    findings.extend(rooms::no_room_is_a_grab_bag(&tree));
    findings.extend(rooms::crates_inherit_the_lints(workspace, &tree));
    findings.extend(links::links_resolve(&tree));
    findings.extend(named_tests::named_tests_are_there(&tree));
    findings.extend(addresses::only_documentation_addresses(&tree));
    findings.extend(addresses::no_registry_is_named(&tree));
    findings.extend(sources::modules_say_what_they_are(&tree));
    findings.extend(sources::files_are_short(&tree));
    findings.extend(sources::unsafe_is_where_it_is_expected(&tree));
    findings.extend(sources::what_is_left_has_an_issue(&tree));
    findings.extend(sources::the_changelog_has_a_place_for_the_next_change(&tree));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("{} files are tidy", tree.paths.len()),
        count => bail!("{count} things are untidy; they are listed above"),
    }
    Ok(())
}

impl Tree {
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut tree = Self { paths: Vec::new(), texts: Vec::new() };
        for file in workspace.files()? {
            let bytes =
                fs::read(workspace.root.join(&file)).with_context(|| file.display().to_string())?;
            let path = file.to_string_lossy().into_owned();
            if let Ok(text) = String::from_utf8(bytes) {
                tree.texts.push(TextFile { path: path.clone(), text });
            }
            tree.paths.push(path);
        }
        Ok(tree)
    }

    /// The text files whose names end like this.
    fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a TextFile> {
        self.texts.iter().filter(move |file| file.path.ends_with(ending))
    }

    /// A tree of made-up files, to try a rule on.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let texts = files
            .iter()
            .map(|&(path, text)| TextFile { path: path.to_owned(), text: text.to_owned() });
        Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            texts: texts.collect(),
        }
    }
}

impl TextFile {
    /// Its lines, with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Checks that a rule finds just these lines (`path:line`) in a made-up tree.
#[cfg(test)]
fn assert_finds(findings: &[Finding], places: &[&str]) {
    let found: Vec<String> = findings.iter().map(|f| format!("{}:{}", f.path, f.line)).collect();
    assert_eq!(found, places, "{findings:?}");
}
