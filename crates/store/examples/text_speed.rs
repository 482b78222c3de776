//! Prints what it costs to keep the texts of tuples, to write them, list them and sift them:
//! `cargo run --release -p store --example text_speed -- 2_000_000`. Files go to a directory of
//! their own in the temporary one, or in the one given after the number. Rates are for each second
//! of this thread's CPU time.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greylist::{State, Timestamp, Timing, Tuple};
use store::TupleId;
use store::disk::RealDisk;
use store::text::{TextConfig, TextLog};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// Appended between two flushes: a tenth of a second's worth at 1,000,000 new tuples a second.
const FLUSH: u64 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let texts = match arguments.next() {
        Some(text) => text.replace(['_', ','], "").parse()?,
        None => 2_000_000,
    };
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("text-speed-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&dir, texts);
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure(dir: &std::path::Path, texts: u64) -> Result<(), Box<dyn std::error::Error>> {
    let config = TextConfig { bytes_max: 1 << 40, key_fingerprint: 0 };
    let (log, _) = TextLog::open(Arc::new(RealDisk::new(dir.to_owned())), config)?;
    // A usual record is 60 bytes: 18 and two addresses of about 20.
    let senders: Vec<_> = (0..1000).map(|n| format!("alice{n:03}@example.net")).collect();
    let client: IpAddr = "198.51.100.7".parse()?;
    let append = |number: u64| {
        let Some(id) = TupleId::from_bits(number) else { return };
        let sender = senders[(number % 1000) as usize].as_bytes();
        log.append(NOW, id, client, sender, b"bob.smith@example.org");
    };
    let (mut appending, mut flushing) = (Duration::ZERO, Duration::ZERO);
    let mut appended = 0;
    while appended < texts {
        let end = texts.min(appended + FLUSH);
        appending += spent(|| (appended + 1..=end).for_each(append));
        flushing += spent(|| log.flush());
        appended = end;
    }
    say("append", texts, appending);
    say("flush", texts, flushing);
    let bytes = log.stats().bytes;
    println!("{:<12}{:>12.1} bytes a text", "on disk", bytes as f64 / texts as f64);

    let mut count = 0;
    let scanning = spent(|| {
        let mut scan = log.scan();
        while scan.next_text().is_some() {
            count += 1;
        }
    });
    assert_eq!(count, texts);
    say("scan", count, scanning);

    let late = NOW.after(Timing::DEFAULT.window()).after(greylist::Secs::new(1));
    let white = Tuple { state: State::White, since: NOW };
    let live = |id: TupleId| id.bits().is_multiple_of(50).then_some(white);
    let sifting = spent(|| {
        // Each does one segment, or nothing; a 64th of the bound's worth are few.
        let segments = log.stats().segments;
        (0..=segments).for_each(|_| log.upkeep(late, &Timing::DEFAULT, live));
    });
    say("sift to 2 %", texts, sifting);
    let stats = log.stats();
    assert_eq!((stats.dropped, stats.troubles), (0, 0), "{stats:?}");
    assert_eq!(stats.outlived, texts - texts / 50);
    Ok(())
}

fn say(what: &str, texts: u64, spent: Duration) {
    let rate = texts as f64 / spent.as_secs_f64() / 1e6;
    let each = spent.as_nanos() as f64 / texts as f64;
    println!("{what:<12}{rate:>12.1} M texts/s {each:>8.1} ns each");
}

/// How much of this thread's CPU time something takes.
fn spent(run: impl FnOnce()) -> Duration {
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let start = cpu();
    run();
    cpu() - start
}
