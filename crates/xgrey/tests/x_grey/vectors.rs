//! What the original was seen to answer, and where we say (in `docs/x-grey.md`) that we answer otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wire::xgrey_v1::{Action, ErrorCode, Stats, Why};

/// One exchange with the original.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    /// What was sent over UDP; nothing for a report, which is fetched over TCP.
    pub(crate) request: Option<Vec<u8>>,
    /// What came back; nothing: silence.
    pub(crate) response: Option<Vec<u8>>,
}

/// All of them, in the order in which they were taken.
pub(crate) fn vectors() -> Vec<Vector> {
    let lines = include_str!("../../../wire/vectors/xgrey-v1/vectors.jsonl").lines();
    let vectors: Vec<Vector> = lines.map(vector).collect();
    assert_eq!(vectors.len(), 274);
    vectors
}

fn vector(line: &str) -> Vector {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let hex = |key: &str| value[key].as_str().map(unhex);
    let name = value["name"].as_str().unwrap().to_owned();
    Vector { name, request: hex("request_hex"), response: hex("response_hex") }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// An answer as people read it, without what section 13 says to leave out: checksum (which is checked
/// elsewhere), padding, times.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing: no answer, or no report.
    Silence,
    /// `type 3, MTA 3: ACCEPT WHITELIST`.
    Reply(String),
    /// Numbers with their names.
    Numbers(Vec<(&'static str, u32)>),
    Report(Vec<String>),
}

impl Said {
    fn of(vector: &Vector, answer: Option<&[u8]>) -> Self {
        match (answer, &vector.request) {
            (None, _) => Self::Silence,
            (Some(report), None) => Self::Report(lines(report)),
            (Some(answer), Some(_)) => Self::of_answer(answer),
        }
    }

    fn of_answer(answer: &[u8]) -> Self {
        let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        assert_eq!(word(4), 0x0101, "answers say their version");
        let (mta, answer_type) = (word(6), word(8));
        let numbers = || answer[12..].chunks_exact(4).map(|four| {
            u32::from_be_bytes(four.try_into().unwrap())
        });
        match answer_type {
            9 => {
                assert_eq!(answer.len(), 176);
                let named = Stats::NAMES.into_iter().zip(numbers());
                Self::Numbers(named.filter(|(name, _)| !name.ends_with("time")).collect())
            }
            11 => {
                assert_eq!(answer.len(), 32);
                let names = ["max_tuples", "cleanup", "embargo", "greylist", "whitelist"];
                Self::Numbers(names.into_iter().zip(numbers()).collect())
            }
            _ => {
                assert_eq!(answer.len(), 16);
                let (response, why) = (word(10), word(12));
                let error = ErrorCode::of_code(response).filter(|_| answer_type == 1);
                let said = match (error, Action::of_code(response), Why::of_code(why)) {
                    (Some(_), _, Some(Why::None)) => format!("error {response}"),
                    (None, Some(action), Some(why)) => format!("{action} {why}"),
                    _ => format!("{response} {why}"),
                };
                Self::Reply(format!("type {answer_type}, MTA {mta}: {said}"))
            }
        }
    }

    /// How `ours` differs from this; as it stands in the document.
    fn difference(&self, ours: &Self) -> Option<String> {
        match (self, ours) {
            (theirs, ours) if theirs == ours => None,
            (Self::Numbers(theirs), Self::Numbers(ours)) => {
                let pairs = theirs.iter().zip(ours).filter(|(one, other)| one != other);
                let shown = pairs.map(|(_, (name, ours))| format!("{name}={ours}"));
                Some(shown.collect::<Vec<_>>().join(" "))
            }
            (Self::Report(theirs), Self::Report(ours)) => Some(edits(theirs, ours)),
            (_, Self::Reply(ours)) => Some(ours.clone()),
            (_, Self::Silence) => Some("silence".to_owned()),
            (_, Self::Numbers(_) | Self::Report(_)) => Some("another kind of answer".to_owned()),
        }
    }
}

/// A report's lines, without a tuple's times.
fn lines(report: &[u8]) -> Vec<String> {
    // Bytes that are no UTF-8 would come out as the same character: each has its own.
    let text: String = report.iter().map(|&byte| char::from(byte)).collect();
    assert!(text.is_empty() || text.ends_with('\n'), "lines end");
    text.lines().map(without_times).collect()
}

fn without_times(line: &str) -> String {
    let is_time = |word: &str| word.len() == 10 && word.parse::<u32>().is_ok();
    let mut words: Vec<&str> = line.split(' ').collect();
    while words.len() > 4 && words.last().is_some_and(|word| is_time(word)) {
        words.pop();
    }
    words.join(" ")
}

/// What must be taken out of `theirs` and put in to have `ours`, line by line.
fn edits(theirs: &[String], ours: &[String]) -> String {
    let common: Vec<&String> = theirs.iter().filter(|line| ours.contains(line)).collect();
    let kept: Vec<&String> = ours.iter().filter(|line| theirs.contains(line)).collect();
    assert_eq!(common, kept, "what both have is in the same order");
    let mut edits = String::new();
    for line in theirs.iter().filter(|line| !ours.contains(line)) {
        writeln!(edits, "-{line}").unwrap();
    }
    for line in ours.iter().filter(|line| !theirs.contains(line)) {
        writeln!(edits, "+{line}").unwrap();
    }
    edits.trim_end().to_owned()
}

/// The differences that the document names, by vector.
pub(crate) fn differences() -> BTreeMap<String, String> {
    let document = include_str!("../../../../docs/x-grey.md");
    let begin = "<!-- vectors: begin -->";
    let end = "<!-- vectors: end -->";
    let (_, rest) = document.split_once(begin).expect("where the differences begin");
    let (text, _) = rest.split_once(end).expect("where the differences end");
    let mut differences = BTreeMap::new();
    let mut add = |name: &str, ours: String| {
        assert_eq!(differences.insert(name.to_owned(), ours), None, "{name} is listed twice");
    };
    let mut rest = text.lines();
    let mut named = "";
    while let Some(line) = rest.next() {
        if line.starts_with("| `") {
            let [_, name, _, ours, ..] = line.split('`').collect::<Vec<_>>()[..] else {
                panic!("no name and no answer of ours in {line:?}");
            };
            add(name, ours.to_owned());
        } else if line == "```diff" {
            let lines: Vec<&str> = rest.by_ref().take_while(|line| *line != "```").collect();
            add(named, lines.join("\n"));
        } else if let Some((_, after)) = line.split_once('`') {
            named = after.split_once('`').map_or("", |(name, _)| name);
        }
    }
    differences
}

/// Compares answers with what the original said and with what the document says of it.
pub(crate) struct Comparison {
    listed: BTreeMap<String, String>,
    wrong: Vec<String>,
}

impl Comparison {
    pub(crate) fn new() -> Self {
        Self { listed: differences(), wrong: Vec::new() }
    }

    /// Looks at what we answered to `vector`.
    pub(crate) fn look(&mut self, vector: &Vector, answer: Option<&[u8]>) {
        if let (Some(answer), true) = (answer, vector.request.is_some()) {
            assert!(has_right_checksum(answer), "{}: {answer:02x?}", vector.name);
        }
        let theirs = Said::of(vector, vector.response.as_deref());
        let ours = Said::of(vector, answer);
        let (difference, listed) =
            (theirs.difference(&ours), self.listed.remove(&vector.name));
        if difference != listed {
            let said = |what: &Option<String>| what.clone().unwrap_or("(none)".to_owned());
            self.wrong.push(format!(
                "{}\n  differs: {}\n  listed:  {}\n  the original: {theirs:?}",
                vector.name,
                said(&difference),
                said(&listed)
            ));
        }
    }

    /// Fails if anything was otherwise than it is written.
    pub(crate) fn end(self) {
        let Self { wrong, .. } = self;
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// The same; and every difference that is written was looked at.
    pub(crate) fn end_of_all(mut self) {
        let unseen = std::mem::take(&mut self.listed).into_keys();
        self.wrong.extend(unseen.map(|name| format!("{name} is listed, and there is no such vector")));
        self.end();
    }
}

fn has_right_checksum(answer: &[u8]) -> bool {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&answer[4..]);
    crc.update(b"decafbad");
    answer[..4] == (!crc.finalize()).to_be_bytes()
}
