//! What was captured from greylistd, from its program `greylist` and from Exim (`vectors/greylistd`): each
//! request means what is written beside it, and each answer is made again, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use greylist::Secs;
use serde_json::{Value, json};
use wire::Limits;
use wire::greylistd::report::{
    Held, Line, Stats, encode_head, encode_line, encode_mrtg, encode_stats,
};
use wire::greylistd::{
    List, RELOADED, Refusal, Request, SAVED, decode, encode_added, encode_removed, encode_status,
    encode_verdict,
};

struct Vector {
    by: String,
    request: Vec<u8>,
    /// None where only the request was of interest.
    answer: Option<String>,
    means: String,
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/greylistd/vectors.jsonl")
}

fn vectors() -> Vec<Vector> {
    let text = fs::read_to_string(file()).unwrap();
    let vector = |line: &str| {
        let all: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| all[name].as_str().map(str::to_owned);
        Vector {
            by: text("by").unwrap(),
            // Bytes beyond ASCII are written as the characters of the same numbers.
            request: text("request").unwrap().chars().map(|c| u8::try_from(c).unwrap()).collect(),
            answer: text("answer"),
            means: text("means").unwrap_or_default(),
        }
    };
    text.lines().map(vector).collect()
}

fn meaning(request: &[u8]) -> String {
    let asked = |asked: Option<List>| asked.map_or("", List::word);
    match decode(request, Limits::default()) {
        Request::Update { asked: list, query } => format!(
            "update {} {} {:?} {:?}",
            asked(list),
            query.client,
            query.sender.escape_ascii().to_string(),
            query.recipient.escape_ascii().to_string()
        ),
        Request::Check { asked: list, query } => format!(
            "check {} {} {:?} {:?}",
            asked(list),
            query.client,
            query.sender.escape_ascii().to_string(),
            query.recipient.escape_ascii().to_string()
        ),
        Request::Unclear { asked: list, fault } => {
            format!("unclear {} {}", asked(list), fault.kind())
        }
        Request::Status(query) => format!("status {}", query.client),
        Request::Add { list, query } => format!("add {} {}", list.word(), query.client),
        Request::Delete(query) => format!("delete {}", query.client),
        Request::List(lists) => format!("list {:?}", List::ALL.map(|list| lists.contains(list))),
        Request::Clear(lists) => format!("clear {:?}", List::ALL.map(|list| lists.contains(list))),
        Request::Refused(refusal) => {
            let mut text = Vec::new();
            refusal.encode(&mut text);
            String::from_utf8(text).unwrap()
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn every_request_means_what_is_written_beside_it() {
    let vectors = vectors();
    assert!(vectors.len() > 70, "{} vectors", vectors.len());
    let mut wrong = Vec::new();
    let mut lines = String::new();
    for Vector { by, request, answer, means } in &vectors {
        let seen = meaning(request);
        let text: String = request.iter().map(|&byte| char::from(byte)).collect();
        let line = json!({ "by": by, "request": text, "answer": answer, "means": seen });
        lines.push_str(&format!("{line}\n"));
        if seen != *means {
            wrong.push(format!("{text:?}: {seen}, not {means}"));
        }
    }
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        fs::write(file(), lines).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the answer is, were it ours, to what was asked: bytes that are the same, made from what it says.
fn made_again(request: &Request<'_>, answer: &str) -> Vec<u8> {
    let mut made = Vec::new();
    let any_of = |candidates: Vec<Vec<u8>>| {
        candidates.into_iter().find(|made| made == answer.as_bytes()).unwrap_or_default()
    };
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    match request {
        Request::Update { asked, .. }
        | Request::Check { asked, .. }
        | Request::Unclear { asked, .. } => {
            let verdicts = List::ALL.map(|list| write(&|out| encode_verdict(list, *asked, out)));
            return any_of(verdicts.into());
        }
        Request::Status(_) => {
            let lists = List::ALL.into_iter().map(Some).chain([None]);
            return any_of(lists.map(|list| write(&|out| encode_status(list, out))).collect());
        }
        Request::Delete(_) => {
            let mut all: Vec<_> =
                List::ALL.into_iter().map(|list| write(&|out| encode_removed(list, out))).collect();
            all.push(write(&|out| Refusal::NotFound.encode(out)));
            return any_of(all);
        }
        Request::Add { list, .. } => encode_added(*list, &mut made),
        Request::Save => made.extend_from_slice(SAVED),
        Request::Reload => made.extend_from_slice(RELOADED),
        // Not done here, and said so in words of our own.
        Request::Clear(_) => made.extend_from_slice(b"data and statistics cleared"),
        Request::Refused(refusal) => refusal.encode(&mut made),
        Request::Stats => encode_stats(&read_stats(answer), &mut made),
        Request::Mrtg => {
            let lines: Vec<&str> = answer.lines().collect();
            let counts = [lines[0], lines[1]].map(|line| line.parse().unwrap());
            encode_mrtg(counts, read_age(lines[2]), lines[3], &mut made);
        }
        Request::List(_) => write_listing(answer, &mut made),
    }
    made
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// `1 minute and 3 seconds`.
fn read_age(text: &str) -> Secs {
    let words: Vec<&str> = text.split(' ').filter(|word| *word != "and").collect();
    let secs = words.chunks(2).map(|pair| {
        let unit = match pair[1].trim_end_matches('s') {
            "minute" => 60,
            "second" => 1,
            other => panic!("{other}"),
        };
        pair[0].parse::<u32>().unwrap() * unit
    });
    Secs::new(secs.sum())
}

fn read_stats(answer: &str) -> Stats<'_> {
    let lines: Vec<&str> = answer.lines().collect();
    let head = lines[0].strip_prefix("Statistics since ").unwrap();
    let (since, ago) = head.split_once(" (").unwrap();
    let counted_for = read_age(ago.strip_suffix(" ago)").unwrap());
    let held = [2, 3, 4].map(|line| {
        let numbers = numbers(lines[line]);
        Held { items: numbers[0], requests: numbers[1] }
    });
    let gone = |line: usize| lines.get(line).map_or(0, |line| numbers(line)[0]);
    Stats { since, counted_for, held, passed: gone(7), expired: gone(8) }
}

/// The listing again; but data that is no tuple is left as it is, and the counts.
fn write_listing(answer: &str, made: &mut Vec<u8>) {
    const COUNT: std::ops::Range<usize> = 22..28;
    let mut lines = answer.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if line == "\n" {
            let title = lines.next().unwrap().to_lowercase();
            let list = List::ALL.into_iter().find(|list| title.starts_with(list.word())).unwrap();
            encode_head(list, made);
            lines.nth(1);
            continue;
        }
        let request = decode(&line.as_bytes()[30..], Limits::default());
        let Request::Update { query, .. } = request else {
            made.extend_from_slice(line.as_bytes());
            continue;
        };
        let mut own = Vec::new();
        let seen = &line[2..21];
        let client = query.client.address();
        let (sender, recipient) = (query.sender, query.recipient);
        encode_line(&Line { seen, client, sender, recipient }, &mut own);
        assert_eq!(own[COUNT], *b"     -");
        own[COUNT].copy_from_slice(&line.as_bytes()[COUNT]);
        // Exim's two ways to say that there is no sender are told apart by greylistd alone.
        let is_the_same = own == line.as_bytes();
        let says_none = line.contains("<>") || line.contains("\"\"");
        assert!(is_the_same || says_none, "{line:?}");
        made.extend_from_slice(if is_the_same { &own } else { line.as_bytes() });
    }
}

#[test]
fn every_answer_is_made_again_byte_for_byte() {
    let mut compared = 0;
    for Vector { request, answer, .. } in vectors() {
        let Some(answer) = answer else { continue };
        let decoded = decode(&request, Limits::default());
        if let Request::Refused(Refusal::NotATuple(_)) = decoded {
            // greylistd takes any data for a tuple.
            continue;
        }
        compared += 1;
        let made = made_again(&decoded, &answer);
        assert_eq!(
            String::from_utf8_lossy(&made),
            answer,
            "the answer to {:?}",
            request.escape_ascii().to_string()
        );
    }
    assert!(compared > 60, "{compared} answers");
}
