//! Making an export, some lines at a time: so that it needs little memory, whoever takes them sets the
//! pace, and each shard's lock is held only for as long as it takes to copy it.
//!
//! ```text
//!  head │ texts │ shard, shard, mark, shard, mark … │ notes │ end
//!         ▲                       ▲
//!         whoever takes texts in   an interrupted export
//!         first knows which tuples  goes on after the last
//!         are new to him            of these
//! ```
//! Never knows: where the lines go, sockets, files.

use std::cmp::Reverse;

use greylist::Tuple;
use store::TupleId;

use super::header::Header;
use super::line::{Entry, Line, Mark, Text, Totals};

/// Lines are handed out when they are about this long together, 64 KiB; and a mark stands behind no
/// fewer, so that a small export isn't mostly marks.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// After so many texts of tuples that aren't known any more, a chunk is handed out even if it is empty: so
/// that whoever takes chunks can say that he wants no more.
const PASSED_OVER_MAX: u32 = 10_000;

/// What there is to be exported.
pub trait Source {
    /// What the export says of itself.
    fn header(&self) -> Header;

    /// The next text.
    fn next_text(&mut self) -> NextText<'_>;

    /// How many shards there are.
    fn shard_count(&self) -> u32;

    /// Appends all tuples of one of them, in any order.
    fn scan_shard(&mut self, index: u32, found: &mut Vec<(TupleId, Tuple)>);

    /// Some of the notes, by name and value: those whose names come next after `name`. None if
    /// there are no more.
    fn notes_after(&mut self, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// What a source has for the next text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextText<'a> {
    /// That of a known tuple.
    Known(Text<'a>),
    /// That of a tuple which isn't known any more.
    PassedOver,
    /// There are no more.
    Over,
}

/// Some whole lines, and how far the export is with them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chunk {
    /// The lines. The first chunk is the head and nothing else.
    pub lines: String,
    /// Lines `text` so far, those of a part that was there before included.
    pub texts: u64,
    /// Lines `tuple`, likewise.
    pub tuples: u64,
    /// How many shards are done.
    pub shards_done: u32,
    /// How many there are.
    pub shards: u32,
}

/// An export that is being made.
#[derive(Debug)]
pub struct Export<S> {
    source: S,
    /// What has been written before.
    after: Option<Mark>,
    stage: Stage,
    totals: Totals,
    shards_done: u32,
    shards: u32,
    /// Tuples of the shard that is being written.
    found: Vec<(TupleId, Tuple)>,
    /// Bytes of lines since the last mark.
    unmarked: usize,
    /// The name of the last note that was written.
    last_note: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Texts,
    Shards,
    Notes,
    Over,
}

impl<S: Source> Export<S> {
    /// Of all that `source` has; or, if some of it has been written up to `after`, which must be
    /// possible, of the rest. The head comes first in any case.
    pub fn new(source: S, after: Option<Mark>) -> Self {
        let shards = source.shard_count();
        let shards_done = after.map_or(0, |mark| {
            // Under another number of shards: the same part of all ids, rounded down.
            let done = u64::from(mark.done) * u64::from(shards) / u64::from(mark.of.max(1));
            u32::try_from(done).unwrap_or(shards).min(shards)
        });
        Self {
            source,
            after,
            stage: Stage::Head,
            totals: after.map(|mark| mark.totals).unwrap_or_default(),
            shards_done,
            shards,
            found: Vec::new(),
            unmarked: 0,
            last_note: Vec::new(),
        }
    }

    /// How many lines there are so far.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The next lines; `None` after the last.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        let mut lines = String::new();
        match self.stage {
            Stage::Over => return None,
            Stage::Head => {
                self.source.header().write(&mut lines);
                self.stage = if self.after.is_some() { Stage::Shards } else { Stage::Texts };
            }
            _ => {
                let mut passed_over = 0;
                while lines.len() < CHUNK_BYTES
                    && passed_over < PASSED_OVER_MAX
                    && self.stage != Stage::Over
                {
                    let before = lines.len();
                    self.write_some(&mut lines);
                    passed_over += u32::from(lines.len() == before);
                }
            }
        }
        Some(Chunk {
            lines,
            texts: self.totals.texts,
            tuples: self.totals.tuples,
            shards_done: self.shards_done,
            shards: self.shards,
        })
    }

    /// Appends a line or some, or nothing on the way to the next.
    fn write_some(&mut self, out: &mut String) {
        match self.stage {
            Stage::Texts => match self.source.next_text() {
                NextText::Known(text) => {
                    Entry::Text(text).write(out);
                    self.totals.texts += 1;
                }
                NextText::PassedOver => {}
                NextText::Over => self.stage = Stage::Shards,
            },
            Stage::Shards => self.write_shard(out),
            Stage::Notes => {
                let notes = self.source.notes_after(&self.last_note);
                if notes.is_empty() {
                    Line::End(self.totals).write(out);
                    self.stage = Stage::Over;
                }
                for (name, value) in notes {
                    self.last_note.clone_from(&name);
                    Entry::Note { name: name.into(), value: value.into() }.write(out);
                    self.totals.notes += 1;
                }
            }
            Stage::Head | Stage::Over => {}
        }
    }

    /// Appends tuples of the shard that is being written, up to a chunk; at its end, a mark.
    fn write_shard(&mut self, out: &mut String) {
        if self.found.is_empty() {
            if self.shards_done == self.shards {
                self.stage = Stage::Notes;
                return;
            }
            self.source.scan_shard(self.shards_done, &mut self.found);
            // Shards are ranges of ids: so all is in order, and two exports can be compared. The
            // last is taken first.
            self.found.sort_unstable_by_key(|&(id, _)| Reverse(id));
        }
        let before = out.len();
        while let Some((id, tuple)) = self.found.pop() {
            Entry::Tuple { id, tuple }.write(out);
            self.totals.tuples += 1;
            if out.len() >= CHUNK_BYTES {
                break;
            }
        }
        self.unmarked += out.len() - before;
        if self.found.is_empty() {
            self.shards_done += 1;
            if self.unmarked >= CHUNK_BYTES || self.shards_done == self.shards {
                let (done, of, totals) = (self.shards_done, self.shards, self.totals);
                Line::Mark(Mark { done, of, totals }).write(out);
                self.unmarked = 0;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use greylist::{HashKey, State, Timestamp, Timing};

    use super::super::line::Address;
    use super::*;

    /// As many shards as are wanted, each with as many tuples as its number says.
    #[derive(Clone, Debug)]
    pub(crate) struct MadeUp {
        pub(crate) shards: u32,
        pub(crate) texts: u32,
        pub(crate) passed_over: u32,
    }

    impl MadeUp {
        pub(crate) fn new(shards: u32, texts: u32) -> Self {
            Self { shards, texts, passed_over: 0 }
        }
    }

    pub(crate) const TIME: Timestamp = Timestamp::from_unix_secs(1_795_498_200);

    pub(crate) fn id(number: u64) -> TupleId {
        TupleId::from_bits(number << 30 | 1).unwrap()
    }

    impl Source for MadeUp {
        fn header(&self) -> Header {
            Header {
                program: "0.1.0".to_owned(),
                hash_key: HashKey::new([7; 16]),
                timing: Timing::DEFAULT,
                time: TIME,
            }
        }

        fn next_text(&mut self) -> NextText<'_> {
            if self.passed_over > 0 {
                self.passed_over -= 1;
                return NextText::PassedOver;
            }
            let Some(texts) = self.texts.checked_sub(1) else { return NextText::Over };
            self.texts = texts;
            NextText::Known(Text {
                id: id(self.texts.into()),
                tuple: Tuple { state: State::Grey, since: TIME },
                first_try: TIME,
                client: Ipv4Addr::new(192, 0, 2, 7).into(),
                sender: Address::Whole(b"alice@example.net".into()),
                recipient: Address::Whole(b"bob@example.org".into()),
            })
        }

        fn shard_count(&self) -> u32 {
            self.shards
        }

        fn scan_shard(&mut self, index: u32, found: &mut Vec<(TupleId, Tuple)>) {
            let tuples = (0..index).map(|number| {
                let tuple = Tuple { state: State::White, since: TIME };
                (id(u64::from(index) << 20 | u64::from(number)), tuple)
            });
            found.extend(tuples);
        }

        fn notes_after(&mut self, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
            let note = || (b"note 1".to_vec(), b"of it".to_vec());
            if name.is_empty() { vec![note()] } else { Vec::new() }
        }
    }

    pub(crate) fn chunks(source: &MadeUp, after: Option<Mark>) -> Vec<Chunk> {
        let mut export = Export::new(source.clone(), after);
        std::iter::from_fn(|| export.next_chunk()).collect()
    }

    pub(crate) fn text(chunks: &[Chunk]) -> String {
        chunks.iter().map(|chunk| chunk.lines.as_str()).collect()
    }

    fn marks(text: &str) -> impl Iterator<Item = (usize, Mark)> {
        let mut end = 0;
        text.split_inclusive('\n').filter_map(move |line| {
            end += line.len();
            match Line::parse(line.trim_end().as_bytes()) {
                Ok(Some(Line::Mark(mark))) => Some((end, mark)),
                _ => None,
            }
        })
    }

    #[test]
    fn a_small_export_reads_well() {
        insta::assert_snapshot!(text(&chunks(&MadeUp::new(3, 1), None)));
    }

    #[test]
    fn a_large_one_comes_in_chunks_of_whole_lines_with_marks_between() {
        let chunks = chunks(&MadeUp::new(100, 5_000), None);
        let text = text(&chunks);
        assert!(chunks.len() > 10, "only {} chunks", chunks.len());
        for chunk in &chunks {
            assert!(chunk.lines.ends_with('\n') && chunk.lines.len() < CHUNK_BYTES + 1024);
        }
        let last = chunks.last().unwrap();
        assert_eq!((last.texts, last.tuples), (5_000, 99 * 100 / 2));
        assert_eq!((last.shards_done, last.shards), (100, 100));
        assert!(text.ends_with("\nend texts 5000 tuples 4950 notes 1\n"));
        let marks: Vec<_> = marks(&text).collect();
        assert!((2..10).contains(&marks.len()), "{marks:?}");
    }

    #[test]
    fn whoever_takes_chunks_is_asked_now_and_then_though_there_is_nothing_to_give() {
        let plain = MadeUp::new(3, 2);
        let old = MadeUp { passed_over: 3 * PASSED_OVER_MAX + 1, ..plain.clone() };
        let chunks_of_old = chunks(&old, None);
        assert_eq!(chunks_of_old.iter().filter(|chunk| chunk.lines.is_empty()).count(), 3);
        assert_eq!(text(&chunks_of_old), text(&chunks(&plain, None)));
    }

    #[test]
    fn what_follows_a_mark_is_what_an_export_from_there_has() {
        let source = MadeUp::new(100, 10);
        let whole = text(&chunks(&source, None));
        let head = text(&chunks(&source, None)[..1]);
        for (end, mark) in marks(&whole) {
            let rest = text(&chunks(&source, Some(mark)));
            assert_eq!(rest.strip_prefix(&head), Some(&whole[end..]), "after {mark:?}");
        }
    }

    #[test]
    fn an_export_goes_on_under_another_number_of_shards_and_leaves_none_out() {
        for (done, of, shards, begins_with) in
            [(1, 2, 2, 1), (1, 2, 5, 2), (3, 4, 2, 1), (4, 4, 3, 3), (1, 100, 2, 0)]
        {
            let mark = Mark { done, of, totals: Totals::default() };
            let export = Export::new(MadeUp::new(shards, 0), Some(mark));
            assert_eq!(export.shards_done, begins_with, "{done} of {of}, now of {shards}");
        }
    }
}
