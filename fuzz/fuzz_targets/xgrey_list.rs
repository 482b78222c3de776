//! Whatever stands in a list of X-Grey's: reading it never panics, and each rule that is found in
//! it can be asked for over the control socket, and then is the same.
//!
//! The first byte of the input says which list it is.

#![no_main]

use std::convert::Infallible;

use greylist::Timestamp;
use libfuzzer_sys::fuzz_target;
use wire::xgrey_v1::files::FileKind;
use xgrey::backup::{Tally, Wish};
use xgrey::control::RuleChangeText;
use xgrey::move_in::{MovedTuple, RuleTally, Taken, Target, Together, move_in};
use xgrey::service::RuleChange;

#[derive(Default)]
struct Reader {
    rules: u64,
}

impl Target for Reader {
    type Error = Infallible;

    fn take_tuple(&mut self, tuple: &MovedTuple<'_>) -> Result<(), Infallible> {
        panic!("a list has no tuples: {tuple:?}");
    }

    fn take_rule(&mut self, change: RuleChange) -> Result<(), Infallible> {
        let text = RuleChangeText::of(&change);
        let again = text.parse().expect("a change that was made from one");
        assert_eq!(RuleChangeText::of(&again), text);
        self.rules += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn taken(&self) -> Taken {
        let rules = RuleTally { added: self.rules, ..RuleTally::default() };
        Taken { tuples: Tally::default(), rules, not_kept: None }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, file)) = input.split_first() else { return };
    let lists = FileKind::ALL.into_iter().filter(|kind| !kind.is_of_tuples());
    let lists: Vec<FileKind> = lists.collect();
    let kind = lists[usize::from(first) % lists.len()];
    let mut reader = Reader::default();
    let mut together = Together::at(Timestamp::from_unix_secs(1_795_500_000));
    let moved = move_in(file, kind, &mut together, &mut reader, |_| Wish::GoOn);
    let outcome = moved.expect("a slice can be read, and the reader takes all");
    assert!(reader.rules + outcome.left_out.count() <= outcome.lines);
    assert_eq!(outcome.bytes, file.len() as u64);
});
