//! Whatever an export says: reading it never panics, and each entry that is found in it can be
//! written, and then says the same.

#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use xgrey::backup::{Entry, Header, HeaderDraft, Line, Taken, Target, Terms, Wish, import};

#[derive(Default)]
struct Reader {
    taken: Taken,
}

impl Target for Reader {
    type Error = Infallible;

    fn begin(&mut self, header: &Header) -> Result<Terms, Infallible> {
        let mut text = String::new();
        header.write(&mut text);
        let mut draft = HeaderDraft::default();
        let mut lines = text.lines().map(|line| draft.take(line.as_bytes()).expect("a good head"));
        assert_eq!(lines.find_map(|whole| whole).as_ref(), Some(header));
        Ok(Terms::All)
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<(), Infallible> {
        let mut text = String::new();
        entry.write(&mut text);
        let text = text.strip_suffix('\n').expect("a whole line");
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
        assert_eq!(Line::parse(text.as_bytes()), Ok(Some(Line::Entry(entry))));
        self.taken.notes += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn taken(&self) -> Taken {
        self.taken
    }
}

fuzz_target!(|input: &[u8]| {
    let imported = import(input, &mut Reader::default(), |_| Wish::GoOn);
    if let Ok(outcome) = imported {
        assert!(outcome.taken.notes + outcome.broken.count <= outcome.lines);
        assert_eq!(outcome.bytes.min(input.len() as u64), outcome.bytes);
    }
});
