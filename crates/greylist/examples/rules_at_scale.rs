//! A million rules of each kind: how long they take to load, what they weigh, how long a question
//! takes. Each kind is measured in a process of its own, so that memory is that kind's alone.
//!
//! `cargo run --release -p greylist --example rules_at_scale`

// A stopwatch is all that is wanted of a clock here.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::Instant;

use greylist::rules::{List, Origin, Pattern, RuleSet, RuleSetBuilder, Verdict};
use greylist::{Client, Query};

const RULES: u64 = 1_000_000;
const QUESTIONS: u64 = 1_000_000;
/// Long enough to push the rules that it asks about out of the caches before they are asked again.
const ROUND: usize = 50_000;

/// A kind of rules, and how its n-th entry is written and asked about.
struct Kind {
    name: &'static str,
    list: List,
    /// Writes the n-th entry.
    entry: fn(n: u64, out: &mut String),
    /// Writes the n-th question: a client, or an address. About half of them match.
    question: fn(n: u64, out: &mut String),
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "IPv4 networks, /16 to /32",
        list: List::Client,
        entry: |n, out| {
            let bits = random(n);
            let [a, b, c, d] = (bits as u32).to_be_bytes();
            put(out, format_args!("{a}.{b}.{c}.{d}/{}", 16 + (bits >> 32) % 17));
        },
        question: |n, out| {
            // Half begin as an entry does, half are anywhere.
            let near = if n.is_multiple_of(2) { n } else { n + RULES };
            let [a, b, c, d] = (random(near) as u32 ^ 1).to_be_bytes();
            put(out, format_args!("{a}.{b}.{c}.{d}"));
        },
    },
    Kind {
        name: "IPv6 networks, /32 to /128",
        list: List::Client,
        entry: |n, out| {
            let (high, low) = (random(n), random(!n));
            let bits = [32, 40, 48, 56, 64, 128][(low % 6) as usize];
            put(out, format_args!("2001:{:x}::{:x}/{bits}", Groups(high), low & 0xffff));
        },
        question: |n, out| {
            let near = if n.is_multiple_of(2) { n } else { n + RULES };
            put(out, format_args!("2001:{:x}::{:x}", Groups(random(near)), random(!near) & 0xffff));
        },
    },
    Kind {
        name: "sender domains, half with subdomains",
        list: List::SenderDomain,
        entry: |n, out| {
            put(out, format_args!("{}{}", if n.is_multiple_of(2) { "." } else { "" }, Name(n)));
        },
        question: |n, out| {
            let near = if n % 4 < 2 { n } else { n + RULES };
            let host = if n.is_multiple_of(2) { "mail." } else { "" };
            put(out, format_args!("News@{host}{}", Name(near)));
        },
    },
    Kind {
        name: "recipient addresses",
        list: List::Recipient,
        entry: |n, out| put(out, format_args!("user.{:x}@{}", random(n) as u16, Name(n / 10))),
        question: |n, out| {
            let near = if n.is_multiple_of(2) { n + RULES } else { n };
            put(out, format_args!("User.{:x}@{}", random(near) as u16, Name(near / 10)));
        },
    },
];

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.clear();
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

/// 48 bits as three groups of an IPv6 address.
struct Groups(u64);

impl std::fmt::LowerHex for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = self.0;
        write!(f, "{:x}:{:x}:{:x}", bits as u16, (bits >> 16) as u16, (bits >> 32) as u16)
    }
}

/// The n-th domain: a name of 5 to 16 letters and digits in one of four zones.
struct Name(u64);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = random(self.0);
        let zone = ["example", "test", "example.net", "mail.test"][(bits >> 62) as usize];
        write!(f, "{:0width$x}.{zone}", bits >> 8, width = 5 + (bits % 12) as usize)
    }
}

/// The n-th number of a fixed sequence that looks random (SplitMix64).
fn random(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the kernel says that this process holds in memory, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn load(kind: &Kind) -> Result<RuleSet, String> {
    let mut builder = RuleSetBuilder::new();
    let source = builder.source(kind.name);
    let mut text = String::new();
    for n in 0..RULES {
        (kind.entry)(n, &mut text);
        let pattern = Pattern::parse(kind.list, &text).map_err(|why| format!("{text}: {why}"))?;
        builder.add(Verdict::Reject, pattern, Origin { source, line: n as u32 + 1 });
    }
    Ok(builder.build())
}

/// Asks all questions, none twice, and gives nanoseconds a question in the fastest round (other
/// work on the machine slows rounds, nothing quickens them) and the share that matched.
fn ask(kind: &Kind, rules: &RuleSet) -> Result<(f64, f64), String> {
    let anywhere = Client::new([192, 0, 2, 7].into());
    let mut text = String::new();
    let mut questions = Vec::new();
    for n in 0..QUESTIONS {
        (kind.question)(n, &mut text);
        let client = match kind.list {
            List::Client => Client::new(text.parse().map_err(|why| format!("{text}: {why}"))?),
            _ => anywhere,
        };
        questions.push((client, text.clone().into_bytes()));
    }
    let mut matched = 0_u64;
    let mut fastest = f64::INFINITY;
    for round in questions.chunks(ROUND) {
        let start = Instant::now();
        for (client, address) in round {
            let query = match kind.list {
                List::Recipient => Query::new(*client, b"", address),
                List::Client => Query::new(*client, b"", b""),
                _ => Query::new(*client, address, b""),
            };
            let judgement = rules.judge(black_box(&query));
            matched += u64::from(judgement.verdict() == Verdict::Reject);
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / round.len() as f64);
    }
    Ok((fastest, matched as f64 / QUESTIONS as f64))
}

/// One line of the table.
fn measure(kind: &Kind) -> Result<String, String> {
    let before = resident_bytes();
    let start = Instant::now();
    let rules = load(kind)?;
    let seconds = start.elapsed().as_secs_f64();
    let resident = resident_bytes().saturating_sub(before);
    let count = rules.len(kind.list);
    let (nanos, matched) = ask(kind, &rules)?;
    Ok(format!(
        "{:<38} {count:>9} {seconds:>7.2} s {:>6.1} B {:>6.1} B {:>6.1} MiB {nanos:>6.0} ns {:>5.0} %",
        kind.name,
        rules.memory_bytes() as f64 / count as f64,
        resident as f64 / count as f64,
        resident as f64 / (1024.0 * 1024.0),
        matched * 100.0,
    ))
}

fn run() -> Result<(), String> {
    if let Some(number) = std::env::args().nth(1) {
        let kind = number.parse::<usize>().ok().and_then(|number| KINDS.get(number));
        println!("{}", measure(kind.ok_or("no such kind")?)?);
        return Ok(());
    }
    println!(
        "{:<38} {:>9} {:>9} {:>8} {:>8} {:>10} {:>9} {:>7}",
        "rules", "different", "load", "own/rule", "VmRSS/r.", "VmRSS", "question", "matched"
    );
    let program = std::env::current_exe().map_err(|why| why.to_string())?;
    for number in 0..KINDS.len() {
        let mut child = Command::new(&program);
        let status = child.arg(number.to_string()).status().map_err(|why| why.to_string())?;
        if !status.success() {
            return Err(format!("kind {number} failed"));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
