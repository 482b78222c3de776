//! Rules about documentation: links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::{Finding, TextFile, Tree};

/// `[text](target)`, `[text](<target>)`, `[text](target "title")`.
static INLINE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)"#));

/// `[name]: target`.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)"));

/// Something in backquotes, which is no link whatever it looks like.
static CODE: LazyLock<Regex> = LazyLock::new(|| pattern("`+[^`]*`+"));

#[expect(clippy::unwrap_used, reason = "the patterns are written here")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Each link in a Markdown file that stays in the project leads to a file, and where it names a
/// heading, to that.
pub(super) fn links_resolve(tree: &Tree) -> Vec<Finding> {
    let mut places: BTreeSet<&str> = tree.paths.iter().map(String::as_str).collect();
    for path in &tree.paths {
        places.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
    }
    let headings: BTreeMap<&str, BTreeSet<String>> =
        tree.ending(".md").map(|file| (file.path.as_str(), anchors(file))).collect();

    let mut findings = Vec::new();
    for file in tree.ending(".md") {
        for (line, target) in links(file) {
            if is_elsewhere(&target) {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = resolve(&file.path, path);
            let problem = if !path.is_empty() && !places.contains(path.as_str()) {
                Some(format!("{target:?} leads to no file"))
            } else if let Some(known) = headings.get(path.as_str())
                && !heading.is_empty()
                && !known.contains(heading)
            {
                Some(format!("{target:?} leads to no heading of {path}"))
            } else {
                None
            };
            findings.extend(problem.map(|what| Finding::new(&file.path, line, what)));
        }
    }
    findings
}

fn is_elsewhere(target: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// Where a link in the file `from` leads, as a path from the workspace's folder.
fn resolve(from: &str, target: &str) -> String {
    if target.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => {
            from.split('/').collect::<Vec<_>>().split_last().map_or(vec![], |(_, up)| up.into())
        }
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The lines that are not code, with their numbers.
fn prose(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    file.lines().filter(move |(_, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return true,
            _ => {}
        }
        false
    })
}

fn links(file: &TextFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(file) {
        let line = CODE.replace_all(line, "`");
        let targets = INLINE.captures_iter(&line).chain(REFERENCE.captures_iter(&line));
        found.extend(targets.map(|target| (number, target[1].to_owned())));
    }
    found
}

/// The anchors of a file's headings, as GitHub makes them.
fn anchors(file: &TextFile) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for (_, line) in prose(file) {
        let title = line.trim_start_matches('#');
        let depth = line.len() - title.len();
        if !(1..=6).contains(&depth) || !title.starts_with(' ') {
            continue;
        }
        let anchor = anchor(title.trim());
        let unused = (0..).map(|count| match count {
            0 => anchor.clone(),
            _ => format!("{anchor}-{count}"),
        });
        known.extend(unused.into_iter().find(|anchor| !known.contains(anchor)));
    }
    known
}

/// Lower case; letters, digits, `-` and `_` stay, blanks become `-`, all else goes.
fn anchor(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_finds;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let tree = Tree::of(&[
            ("README.md", "[a](docs/a.md) [b](docs/b.md)\n[c](docs) [d](https://example.com/)\n"),
            ("docs/a.md", "[up](../README.md)\n[gone](../gone.md \"title\")\n\n[r]: b.md\n"),
        ]);
        assert_finds(&links_resolve(&tree), &["README.md:1", "docs/a.md:2", "docs/a.md:4"]);
    }

    #[test]
    fn a_link_to_a_heading_that_is_not_there_is_found() {
        let tree = Tree::of(&[
            ("a.md", "# One `two`, three\n## Same\n## Same\n[x](#one-two-three)\n[y](#same-1)\n"),
            ("b.md", "[x](a.md#same)\n[y](a.md#same-2)\n"),
        ]);
        assert_finds(&links_resolve(&tree), &["b.md:2"]);
    }

    #[test]
    fn code_holds_no_links_and_no_headings() {
        let text = "```toml\n[a](gone.md)\n# Heading\n```\n`[b](gone.md)`\n[c](#heading)\n";
        assert_finds(&links_resolve(&Tree::of(&[("a.md", text)])), &["a.md:6"]);
    }
}
