//! Whatever stands in a dump or whitelist of X-Grey's: reading it never panics, no tuple that is found
//! in it is from the future, and each can be written as an export has it, and then is the same.

#![no_main]

use std::convert::Infallible;

use greylist::Timestamp;
use libfuzzer_sys::fuzz_target;
use wire::xgrey_v1::files::FileKind;
use xgrey::backup::{Entry, Line, Wish};
use xgrey::move_in::{MovedTuple, Taken, Target, Together, move_in};
use xgrey::service::RuleChange;

const NOW: Timestamp = Timestamp::from_unix_secs(1_795_500_000);

#[derive(Default)]
struct Reader {
    taken: Taken,
}

impl Target for Reader {
    type Error = Infallible;

    fn take_tuple(&mut self, moved: &MovedTuple<'_>) -> Result<(), Infallible> {
        assert!(moved.tuple.since <= NOW && moved.first_try <= NOW, "{moved:?}");
        let mut text = String::new();
        let entry = Entry::Text(moved.as_text());
        entry.write(&mut text);
        let line = text.strip_suffix('\n').expect("a whole line");
        assert_eq!(Line::parse(line.as_bytes()), Ok(Some(Line::Entry(entry))));
        self.taken.tuples.new += 1;
        Ok(())
    }

    fn take_rule(&mut self, change: RuleChange) -> Result<(), Infallible> {
        panic!("a dump has no rules: {change:?}");
    }

    fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn taken(&self) -> Taken {
        self.taken.clone()
    }
}

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::default();
    let mut together = Together::at(NOW);
    for kind in [FileKind::Dump, FileKind::Whitelist] {
        let before = reader.taken.tuples.new;
        let moved = move_in(input, kind, &mut together, &mut reader, |_| Wish::GoOn);
        let outcome = moved.expect("a slice can be read, and the reader takes all");
        let taken = reader.taken.tuples.new - before;
        assert!(taken + outcome.timed + outcome.left_out.count() <= outcome.lines);
        assert_eq!(outcome.bytes, input.len() as u64);
    }
});
