//! Fills a compact store with new tuples, and prints what that costs at each size on the way:
//!
//! ```text
//! cargo run --release -p store --example fill -- [TUPLES [BOUND_MIB [PARTS]]]
//! ```
//! With more tuples than the bound has slots, it goes on until nearly all slots are in use. With
//! PARTS, all tuples are of the first of that many parts of all ids: so the shards of a large bound
//! can be filled up, if only some of them. Rates are for each second of this thread's CPU time, so
//! that whatever else the machine does matters less; so is the longest time that a batch took.

use greylist::{HashKey, Secs, State, Timestamp, Timing, Touch, Tuple, TupleKey};
use store::{Attempt, Bound, CompactConfig, CompactStore, TupleStore};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// How many tuples are looked up for each figure, at most.
const SAMPLE: u64 = 2_000_000;

/// Attempts in a batch: as many connections have something to say in one turn of a busy loop.
const BATCH: u64 = 64;

/// How many tuples are taken for a second's, after which a service sweeps.
const SECOND: u64 = 1 << 20;

/// Percentages of the bound's slots at which rates are of interest.
const LEVELS: [u64; 9] = [50, 70, 80, 85, 90, 92, 95, 96, 97];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.replace(['_', ','], "").parse());
    let mut number = |default| numbers.next().unwrap_or(Ok(default));
    let tuples: u64 = number(1_000_000)?;
    // By default a bound that is never reached: then this is about what is needed.
    let bound = Bound::new(number(((tuples * 16) >> 20).max(6 << 10))? << 20)?;
    let parts = number(1)?;
    let timing = Timing::DEFAULT;
    let before = resident_bytes();
    let store = CompactStore::new(CompactConfig { timing, bound, hash_key: HashKey::new([7; 16]) });
    let stats = store.stats();
    println!(
        "{} shards; huge pages: {}; the empty store takes {} KiB; the process was {} KiB before",
        thousands(stats.shards),
        stats.huge_pages,
        thousands(resident_bytes().saturating_sub(before) / 1024),
        thousands(before / 1024)
    );
    println!(
        "{:>13} {:>6} {:>9} {:>9} {:>6} {:>6} {:>9} {:>8} {:>7} {:>11} {:>8} {:>11} {:>11} {:>11}",
        "tuples",
        "bound%",
        "table MiB",
        "proc. MiB",
        "B each",
        "full %",
        "rebuilds",
        "no room",
        "evicted",
        "new/s",
        "batch ms",
        "early/s",
        "white/s",
        "miss/s"
    );
    let slots = bound.bytes() / 8 / parts;
    let (mut filled, mut false_matches) = (0, 0);
    for size in sizes(tuples, slots) {
        let start = Spent::now();
        let mut longest_secs = 0.0_f64;
        let mut touches = Vec::new();
        let batches = (filled..size).step_by(BATCH as usize);
        for first in batches {
            let batch = BATCH.min(size - first);
            let began = Spent::now();
            touch(&store, first..first + batch, parts, &mut touches);
            longest_secs = longest_secs.max(began.secs());
            let is_new = |touch: &&Touch| matches!(touch, Touch::New { .. } | Touch::NoRoom);
            false_matches += batch - touches.iter().filter(is_new).count() as u64;
            if first % SECOND < BATCH {
                store.sweep_some(NOW);
            }
        }
        let new = rate(size - filled, start);
        filled = size;
        store.sweep_some(NOW);
        let resident = resident_bytes() - before;
        let stats = store.stats();
        let [early, white] = known(&store, size, parts);
        println!(
            "{:>13} {:>6.1} {:>9} {:>9} {:>6.2} {:>6.1} {:>9} {:>8} {:>7} {:>11} {:>8.2} {:>11} {:>11} {:>11}",
            thousands(size),
            size as f64 * 100.0 / slots as f64,
            thousands(stats.bytes >> 20),
            thousands(resident_bytes() >> 20),
            resident as f64 / size as f64,
            size as f64 * 100.0 / stats.slots as f64,
            thousands(stats.rebuilds),
            thousands(stats.no_room),
            thousands(stats.evicted_grey),
            thousands(new),
            longest_secs * 1000.0,
            thousands(early),
            thousands(white),
            thousands(misses(&store, size, parts)),
        );
    }
    println!("{false_matches} new tuples were taken for known ones");
    Ok(())
}

/// Sizes to stop at: each half power of ten, levels of the bound, and the last.
fn sizes(tuples: u64, slots: u64) -> Vec<u64> {
    let end = tuples.min(slots * 97 / 100);
    let powers = (4..12)
        .map(|power| 10_u64.pow(power))
        .flat_map(|size| [1, 2, 3, 5, 7].map(|times| size * times));
    let levels = LEVELS.map(|percent| slots * percent / 100);
    let mut sizes: Vec<u64> =
        powers.chain(levels).chain([end]).filter(|&size| size <= end).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Touches tuples in one batch.
fn touch(
    store: &CompactStore,
    numbers: impl Iterator<Item = u64>,
    parts: u64,
    touches: &mut Vec<Touch>,
) {
    let mut attempts = [Attempt { key: TupleKey(0) }; BATCH as usize];
    let mut count = 0;
    for (attempt, number) in attempts.iter_mut().zip(numbers) {
        attempt.key = key(number, parts);
        count += 1;
    }
    touches.clear();
    match ready(store.touch(NOW, &attempts[..count], touches)) {
        Ok(()) => {}
        Err(error) => match error {},
    }
}

/// Touches known tuples, in random order: grey ones (nothing changes), and white ones
/// (the time changes). Leaves them grey.
fn known(store: &CompactStore, size: u64, parts: u64) -> [u64; 2] {
    let sample = SAMPLE.min(size);
    let number = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
    let mut touches = Vec::new();
    let mut measure = |expected: fn(&Touch) -> bool| {
        let start = Spent::now();
        for first in (0..sample).step_by(BATCH as usize) {
            touch(store, (first..sample).map(number), parts, &mut touches);
            assert!(
                touches
                    .iter()
                    .all(|t| expected(t) || matches!(t, Touch::New { .. } | Touch::NoRoom))
            );
        }
        rate(sample, start)
    };
    let put = |number, state, since| {
        let placed = ready(store.put(NOW, key(number, parts), Tuple { state, since }));
        assert!(placed.is_ok(), "{number}");
    };
    let early = measure(|touch| matches!(touch, Touch::Early { .. }));
    let yesterday = Timestamp::from_unix_secs(NOW.as_unix_secs() - 86_400);
    (0..sample).map(number).for_each(|number| put(number, State::White, yesterday));
    let white = measure(|touch| matches!(touch, Touch::Known));
    (0..sample).map(number).for_each(|number| put(number, State::Grey, NOW));
    [early, white]
}

/// Peeks for tuples that are not there.
fn misses(store: &CompactStore, size: u64, parts: u64) -> u64 {
    let sample = SAMPLE.min(size);
    let start = Spent::now();
    for number in 0..sample {
        let known = ready(store.peek(NOW.after(Secs::new(1)), key(u64::MAX - number, parts)));
        assert_eq!(known, Ok(None), "a false match");
    }
    rate(sample, start)
}

/// A key as the keyed hash would make it: any number, well mixed; in the first of `parts`.
fn key(number: u64, parts: u64) -> TupleKey {
    let half = |salt: u64| {
        let bits = (number ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 30
    };
    let (high, low) = (half(0x5851_f42d_4c95_7f2d), half(0x1405_7b7e_f767_814f));
    // Of an id, the first 11 bits are the key's first, the others its last 47.
    let id = ((high >> 53 << 47) | low >> 17) / parts;
    TupleKey(u128::from(id >> 47) << 117 | u128::from(id & ((1 << 47) - 1)))
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
