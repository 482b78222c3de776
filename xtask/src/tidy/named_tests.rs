//! Rules about promises: a test that a document names is there, under that name.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::{Finding, Tree};

/// Something in backquotes that reads like the name of one of our tests: a sentence of five words or
/// more. Keys, flags and functions that documents speak of are shorter.
static NAME: LazyLock<Regex> = LazyLock::new(|| pattern("`([a-z0-9]+(?:_[a-z0-9]+){4,})`"));

static FUNCTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bfn ([a-z0-9_]+)\("));

#[expect(clippy::unwrap_used, reason = "the patterns are written here")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Each test that a document names is there.
pub(super) fn named_tests_are_there(tree: &Tree) -> Vec<Finding> {
    let sources = tree.ending(".rs");
    let there: BTreeSet<&str> = sources
        .flat_map(|file| FUNCTION.captures_iter(&file.text))
        .filter_map(|function| Some(function.get(1)?.as_str()))
        .collect();
    let mut findings = Vec::new();
    for file in tree.ending(".md") {
        for (number, line) in file.lines() {
            let named = NAME.captures_iter(line).filter(|name| !there.contains(&name[1]));
            findings.extend(named.map(|name| {
                Finding::new(&file.path, number, format!("there is no test {}", &name[1]))
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_finds;

    #[test]
    fn a_test_that_is_named_and_not_there_is_found() {
        let tree = Tree::of(&[
            ("a.md", "`a_full_disk_stops_nothing`, `segment_bytes`\n`a_full_disk_stops_mail`\n"),
            ("a.rs", "#[test]\nfn a_full_disk_stops_nothing() {}\n"),
        ]);
        assert_finds(&named_tests_are_there(&tree), &["a.md:2"]);
    }
}
