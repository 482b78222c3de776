//! Rules about source files: they say what they are, stay short, are safe, and hide no debts.

use std::sync::LazyLock;

use regex::Regex;

use super::{Finding, TextFile, Tree};

/// More lines than this rarely have one subject.
const LINES_MAX: usize = 800;

/// Longer files, each with the reason why it is one all the same.
const LONG: &[(&str, &str)] = &[];

/// Files with `unsafe` code, each with the reason why there is no other way.
const UNSAFE: &[(&str, &str)] = &[(
    "crates/store/src/compact/memory.rs",
    "fetching ahead, reserving addresses and giving pages back have no stable safe names",
)];

/// Endings of the files in which debts are looked for.
const WRITTEN_BY_HAND: [&str; 7] = [".rs", ".md", ".toml", ".sh", ".lua", ".service", ".py"];

static UNSAFE_CODE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\bunsafe\s+(?:fn|impl|trait|extern)\b|\bunsafe\s*\{"));

/// A word for work left undone, in parts, so that this file is free of them; and what follows.
static DEBT: LazyLock<Regex> = LazyLock::new(|| {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")].join("|");
    pattern(&format!(r"\b(?:{words})\b(\(#\d+\))?"))
});

#[expect(clippy::unwrap_used, reason = "the patterns are written here")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Each Rust file begins by saying what it is.
pub(super) fn modules_say_what_they_are(tree: &Tree) -> Vec<Finding> {
    let is_silent = |file: &&TextFile| !file.text.starts_with("//! ");
    let silent = tree.ending(".rs").filter(is_silent);
    silent.map(|file| Finding::new(&file.path, 1, "begins without `//! ` what and why")).collect()
}

/// No Rust file is long without a reason.
pub(super) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let is_long = |file: &TextFile| file.text.lines().count() > LINES_MAX;
    excepting(tree, LONG, "LONG", is_long, |file| {
        let what = format!("has more than {LINES_MAX} lines: does it still have one subject?");
        Finding::new(&file.path, 0, what)
    })
}

/// `unsafe` is where there is no other way.
pub(super) fn unsafe_is_where_it_is_expected(tree: &Tree) -> Vec<Finding> {
    excepting(
        tree,
        UNSAFE,
        "UNSAFE",
        |file| unsafe_line(file) > 0,
        |file| {
            Finding::new(&file.path, unsafe_line(file), "has unsafe code and is not on the list")
        },
    )
}

/// The first line with unsafe code, or 0.
fn unsafe_line(file: &TextFile) -> usize {
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    let mut lines = file.lines();
    lines.find(|(_, line)| is_code(line) && UNSAFE_CODE.is_match(line)).map_or(0, |(at, _)| at)
}

/// Finds the Rust files that break a rule, but for those listed; and those listed in vain.
fn excepting(
    tree: &Tree,
    exceptions: &[(&str, &str)],
    list: &str,
    breaks: impl Fn(&TextFile) -> bool,
    finding: impl Fn(&TextFile) -> Finding,
) -> Vec<Finding> {
    let is_listed = |file: &TextFile| exceptions.iter().any(|(path, _)| *path == file.path);
    let breaking: Vec<&TextFile> = tree.ending(".rs").filter(|file| breaks(file)).collect();
    let unlisted = breaking.iter().filter(|file| !is_listed(file)).map(|file| finding(file));
    let needless = exceptions
        .iter()
        .filter(|(path, _)| breaking.iter().all(|file| file.path != *path))
        .map(|(path, _)| {
            let what = format!("{list} has no use for {path}");
            Finding::new("xtask/src/tidy/sources.rs", 0, what)
        });
    unlisted.chain(needless).collect()
}

/// Work left undone is an issue, and its note says which.
pub(super) fn what_is_left_has_an_issue(tree: &Tree) -> Vec<Finding> {
    let is_ours = |file: &&TextFile| WRITTEN_BY_HAND.iter().any(|end| file.path.ends_with(end));
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(is_ours) {
        for (number, line) in file.lines() {
            let debts = DEBT.captures_iter(line).filter(|debt| debt.get(1).is_none());
            findings.extend(debts.map(|debt| {
                Finding::new(&file.path, number, format!("{} without an issue, (#7)", &debt[0]))
            }));
        }
    }
    findings
}

/// The changelog has a place for the next change.
pub(super) fn the_changelog_has_a_place_for_the_next_change(tree: &Tree) -> Vec<Finding> {
    let is_place = |line: &str| matches!(line.trim(), "## Unreleased" | "## [Unreleased]");
    let has_place = |file: &TextFile| file.text.lines().any(is_place);
    if tree.texts.iter().any(|file| file.path == "CHANGELOG.md" && has_place(file)) {
        return Vec::new();
    }
    vec![Finding::new("CHANGELOG.md", 0, "lacks a section `## Unreleased`")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_finds;

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        let tree = Tree::of(&[("a.rs", "//! A.\n"), ("b.rs", "fn b() {}\n//! B.\n")]);
        assert_finds(&modules_say_what_they_are(&tree), &["b.rs:1"]);
    }

    #[test]
    fn a_long_file_is_found() {
        let (long, short) = ("//\n".repeat(LINES_MAX + 1), "//\n".repeat(LINES_MAX));
        let tree = Tree::of(&[("long.rs", &long), ("short.rs", &short), ("long.md", &long)]);
        assert_finds(&files_are_short(&tree), &["long.rs:0"]);
    }

    #[test]
    fn unsafe_code_is_found_and_a_needless_exception_too() {
        let code = ["//! Not unsafe", "", "fn f() {", concat!("    un", "safe { g() }"), "}"];
        let code = code.join("\n");
        let comment = concat!("// un", "safe { }\nfn is_unsafe() {}\n");
        let tree = Tree::of(&[("a.rs", &code), ("b.rs", comment)]);
        let found = unsafe_is_where_it_is_expected(&tree);
        assert_eq!(found[0], Finding::new("a.rs", 4, "has unsafe code and is not on the list"));
        assert_eq!(found.len(), 1 + UNSAFE.len(), "the list's own files are missing here");
    }

    #[test]
    fn a_debt_without_an_issue_is_found() {
        let word = concat!("TO", "DO");
        let text = format!("// {word}: later\n// {word}(#12): later\n// {word}s\n");
        assert_finds(&what_is_left_has_an_issue(&Tree::of(&[("a.rs", &text)])), &["a.rs:1"]);
    }

    #[test]
    fn a_changelog_without_a_place_is_found() {
        for (text, count) in [("# Changelog\n\n## Unreleased\n", 0), ("## 0.1.0\n", 1)] {
            let tree = Tree::of(&[("CHANGELOG.md", text)]);
            assert_eq!(the_changelog_has_a_place_for_the_next_change(&tree).len(), count, "{text}");
        }
        assert_eq!(the_changelog_has_a_place_for_the_next_change(&Tree::of(&[])).len(), 1);
    }
}
