//! Fills a compact store with new tuples, and prints what that costs at each size on the way:
//! `cargo run --release -p store --example fill -- 100_000_000`. Rates are for each second of this
//! thread's CPU time, so that whatever else the machine does matters less.

use greylist::{HashKey, Secs, State, Timestamp, Timing, Touch, Tuple, TupleKey};
use store::{Bound, CompactConfig, CompactStore, TupleStore};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// How many tuples are looked up for each figure, at most.
const SAMPLE: u64 = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tuples = match std::env::args().nth(1) {
        Some(text) => text.replace(['_', ','], "").parse()?,
        None => 1_000_000,
    };
    // A bound that is never reached: this is about what is needed.
    let bound = Bound::new((tuples * 16).max(Bound::BYTES_MIN).max(6 << 30))?;
    let timing = Timing::DEFAULT;
    let before = resident_bytes();
    let store = CompactStore::new(CompactConfig { timing, bound, hash_key: HashKey::new([7; 16]) });
    println!(
        "{} shards; the empty store takes {} KiB; the process was {} KiB before",
        thousands(store.stats().shards),
        thousands(resident_bytes().saturating_sub(before) / 1024),
        thousands(before / 1024)
    );
    println!(
        "{:>13} {:>11} {:>11} {:>6} {:>8} {:>10} {:>12} {:>12} {:>12} {:>12}",
        "tuples",
        "slots MiB",
        "process MiB",
        "B each",
        "full %",
        "rebuilds",
        "new/s",
        "early/s",
        "white/s",
        "peek miss/s"
    );
    let mut filled = 0;
    for size in sizes(tuples) {
        let start = Spent::now();
        for number in filled..size {
            let touch = store.touch_one(NOW, key(number));
            assert!(matches!(touch, Touch::New { .. }), "{number}: {touch:?}");
        }
        let new = rate(size - filled, start);
        filled = size;
        let resident = resident_bytes() - before;
        let stats = store.stats();
        assert_eq!(stats.grey + stats.white, size);
        let [early, white] = known(&store, size);
        println!(
            "{:>13} {:>11} {:>11} {:>6.2} {:>8.1} {:>10} {:>12} {:>12} {:>12} {:>12}",
            thousands(size),
            thousands(stats.bytes >> 20),
            thousands(resident_bytes() >> 20),
            resident as f64 / size as f64,
            size as f64 * 100.0 / stats.slots as f64,
            thousands(stats.rebuilds),
            thousands(new),
            thousands(early),
            thousands(white),
            thousands(misses(&store, size)),
        );
    }
    Ok(())
}

/// Sizes to stop at: each half power of ten, and the last.
fn sizes(tuples: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = (4..)
        .map(|power| 10_u64.pow(power))
        .take_while(|&size| size < tuples)
        .flat_map(|size| [size, size * 32 / 10])
        .filter(|&size| size < tuples)
        .collect();
    sizes.push(tuples);
    sizes
}

/// Touches known tuples, in random order: grey ones (nothing changes), and white ones
/// (the time changes). Leaves them grey.
fn known(store: &CompactStore, size: u64) -> [u64; 2] {
    let sample = SAMPLE.min(size);
    let numbers = || (0..sample).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size);
    let start = Spent::now();
    for number in numbers() {
        let touch = store.touch_one(NOW, key(number));
        assert!(matches!(touch, Touch::Early { .. }), "{number}: {touch:?}");
    }
    let early = rate(sample, start);
    let put = |number, state, since| {
        let placed = ready(store.put(NOW, key(number), Tuple { state, since }));
        assert_eq!(placed, Ok(store::Placed::Stored));
    };
    let yesterday = Timestamp::from_unix_secs(NOW.as_unix_secs() - 86_400);
    numbers().for_each(|number| put(number, State::White, yesterday));
    let start = Spent::now();
    for number in numbers() {
        assert_eq!(store.touch_one(NOW, key(number)), Touch::Known);
    }
    let white = rate(sample, start);
    numbers().for_each(|number| put(number, State::Grey, NOW));
    [early, white]
}

/// Peeks for tuples that are not there.
fn misses(store: &CompactStore, size: u64) -> u64 {
    let sample = SAMPLE.min(size);
    let start = Spent::now();
    for number in 0..sample {
        let known = ready(store.peek(NOW.after(Secs::new(1)), key(u64::MAX - number)));
        assert_eq!(known, Ok(None), "a false match");
    }
    rate(sample, start)
}

/// A key as the keyed hash would make it: any number, well mixed.
fn key(number: u64) -> TupleKey {
    let half = |salt: u64| {
        let bits = (number ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(bits ^ bits >> 30)
    };
    TupleKey(half(0x5851_f42d_4c95_7f2d) << 64 | half(0x1405_7b7e_f767_814f))
}

/// The outcome of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(outcome) => outcome,
        std::task::Poll::Pending => unreachable!("the compact store is ready at once"),
    }
}

/// CPU time of this thread, at one moment.
#[derive(Clone, Copy)]
struct Spent(f64);

impl Spent {
    fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Self(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }

    /// CPU seconds since then.
    fn secs(self) -> f64 {
        Self::now().0 - self.0
    }
}

fn rate(count: u64, start: Spent) -> u64 {
    (count as f64 / start.secs()) as u64
}

/// What the kernel says this process has in memory; 0 where there is no `/proc`.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
