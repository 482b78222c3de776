//! One list while it is being gathered: tables that can be added to and taken from.
//!
//! What is taken away is marked, and left out when the list is put together.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;
use regex::bytes::Regex;

use super::cidr::NetTableBuilder;
use super::expression::Expressions;
use super::ledger::{Ledger, Note};
use super::lists::{ClientRules, TextRules};
use super::pattern::Kind;
use super::text::{AsWritten, Numbered, TextTable};

/// Where a regular expression is to stand among those of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it is; if it is new, behind all others.
    Written,
    /// There: the lower, the earlier.
    At(u64),
}

/// Places of expressions that were written begin here; those below come before them.
pub(super) const PLACES_WRITTEN: u64 = 1 << 32;

/// Rules that can be added and taken away.
pub(super) trait Entries {
    /// How many there are.
    fn len(&self) -> usize;

    /// Adds a rule; gives back the note that the same one had before, if it was there.
    fn insert(&mut self, kind: Kind, note: Note, place: Place) -> Option<Note>;

    /// Takes a rule away; gives back the note that it had, if it was there.
    fn remove(&mut self, kind: &Kind) -> Option<Note>;
}

/// A list that was put together.
pub(super) trait Built: Default {
    /// The same, while it is being gathered.
    type Open: Entries;

    /// How many rules it has.
    fn len(&self) -> usize;

    /// The number of a rule.
    fn position(&self, kind: &Kind) -> Option<u32>;

    /// Takes it up again.
    fn open(&self) -> Self::Open;

    /// Puts it together, with no hits yet.
    fn close(open: Self::Open) -> Self;
}

/// A list as it was put together, and as it is to become, if that is not the same.
#[derive(Debug)]
pub(super) struct Gathered<B: Built> {
    built: Arc<B>,
    open: Option<B::Open>,
}

impl<B: Built> Gathered<B> {
    pub(super) fn of(built: &Arc<B>) -> Self {
        Self { built: Arc::clone(built), open: None }
    }

    pub(super) fn build(self) -> Arc<B> {
        self.open.map_or(self.built, |open| Arc::new(B::close(open)))
    }
}

impl<B: Built> Default for Gathered<B> {
    fn default() -> Self {
        Self { built: Arc::default(), open: None }
    }
}

impl<B: Built<Open: Clone>> Clone for Gathered<B> {
    fn clone(&self) -> Self {
        Self { built: Arc::clone(&self.built), open: self.open.clone() }
    }
}

impl<B: Built> Entries for Gathered<B> {
    fn len(&self) -> usize {
        self.open.as_ref().map_or_else(|| self.built.len(), Entries::len)
    }

    fn insert(&mut self, kind: Kind, note: Note, place: Place) -> Option<Note> {
        self.open.get_or_insert_with(|| self.built.open()).insert(kind, note, place)
    }

    fn remove(&mut self, kind: &Kind) -> Option<Note> {
        if self.open.is_none() && self.built.position(kind).is_none() {
            return None;
        }
        self.open.get_or_insert_with(|| self.built.open()).remove(kind)
    }
}

/// The client list being gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Nets {
    v4: NetTableBuilder<u32>,
    v6: NetTableBuilder<u128>,
}

impl Entries for Nets {
    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn insert(&mut self, kind: Kind, note: Note, _: Place) -> Option<Note> {
        match kind {
            Kind::Net(IpNet::V4(net)) => {
                self.v4.insert(net.network().to_bits(), net.prefix_len(), note)
            }
            Kind::Net(IpNet::V6(net)) => {
                self.v6.insert(net.network().to_bits(), net.prefix_len(), note)
            }
            // A pattern of the client list is always a network.
            Kind::Text(_) | Kind::Exact(_) | Kind::Expression(_) => None,
        }
    }

    fn remove(&mut self, kind: &Kind) -> Option<Note> {
        match kind {
            Kind::Net(IpNet::V4(net)) => self.v4.remove(net.network().to_bits(), net.prefix_len()),
            Kind::Net(IpNet::V6(net)) => self.v6.remove(net.network().to_bits(), net.prefix_len()),
            Kind::Text(_) | Kind::Exact(_) | Kind::Expression(_) => None,
        }
    }
}

impl Built for ClientRules {
    type Open = Nets;

    fn len(&self) -> usize {
        self.ledger.len()
    }

    fn position(&self, kind: &Kind) -> Option<u32> {
        match kind {
            Kind::Net(IpNet::V4(net)) => {
                self.v4.position(net.network().to_bits(), net.prefix_len())
            }
            Kind::Net(IpNet::V6(net)) => {
                let at = self.v6.position(net.network().to_bits(), net.prefix_len())?;
                Some(at + self.v4.len())
            }
            Kind::Text(_) | Kind::Exact(_) | Kind::Expression(_) => None,
        }
    }

    fn open(&self) -> Nets {
        let (v4, v6) = self.ledger.notes().split_at(self.v4.len() as usize);
        Nets { v4: NetTableBuilder::of(&self.v4, v4), v6: NetTableBuilder::of(&self.v6, v6) }
    }

    fn close(Nets { v4, v6 }: Nets) -> Self {
        let (v4, mut notes) = v4.build();
        let (v6, v6_notes) = v6.build();
        notes.extend(v6_notes);
        Self { v4, v6, ledger: Ledger::new(notes) }
    }
}

/// A list of texts being gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts<T> {
    exact: Noted<TextTable<AsWritten>>,
    table: Noted<T>,
    expressions: OpenExpressions,
}

impl<T: Numbered> Entries for Texts<T> {
    fn len(&self) -> usize {
        self.exact.len() + self.table.len() + self.expressions.len()
    }

    fn insert(&mut self, kind: Kind, note: Note, place: Place) -> Option<Note> {
        match kind {
            Kind::Exact(bytes) => self.exact.insert(&bytes, note),
            Kind::Text(text) => self.table.insert(text.as_bytes(), note),
            Kind::Expression(regex) => self.expressions.insert(regex, note, place),
            // Networks are gathered elsewhere.
            Kind::Net(_) => None,
        }
    }

    fn remove(&mut self, kind: &Kind) -> Option<Note> {
        match kind {
            Kind::Exact(bytes) => self.exact.remove(bytes),
            Kind::Text(text) => self.table.remove(text.as_bytes()),
            Kind::Expression(regex) => self.expressions.remove(regex.as_str()),
            Kind::Net(_) => None,
        }
    }
}

impl<T: Numbered> Built for TextRules<T> {
    type Open = Texts<T>;

    fn len(&self) -> usize {
        self.ledger.len()
    }

    fn position(&self, kind: &Kind) -> Option<u32> {
        match kind {
            Kind::Exact(bytes) => self.exact.index_of(bytes),
            Kind::Text(text) => {
                Some(self.exact.len() + self.table.texts().index_of(text.as_bytes())?)
            }
            Kind::Expression(regex) => {
                let at = self.expressions.index_of(regex.as_str())?;
                Some(self.exact.len() + self.table.texts().len() + at)
            }
            Kind::Net(_) => None,
        }
    }

    fn open(&self) -> Texts<T> {
        let (exact, rest) = self.ledger.notes().split_at(self.exact.len() as usize);
        let (table, expressions) = rest.split_at(self.table.texts().len() as usize);
        Texts {
            exact: Noted { table: self.exact.clone(), notes: exact.to_vec(), gone: 0 },
            table: Noted { table: self.table.clone(), notes: table.to_vec(), gone: 0 },
            expressions: OpenExpressions::of(&self.expressions, expressions),
        }
    }

    fn close(Texts { exact, table, expressions }: Texts<T>) -> Self {
        let (exact, mut notes) = exact.build();
        let (table, table_notes) = table.build();
        let (expressions, expression_notes) = expressions.build();
        notes.extend(table_notes);
        notes.extend(expression_notes);
        Self { exact, table, expressions, ledger: Ledger::new(notes) }
    }
}

/// Texts, each with a note.
#[derive(Clone, Debug, Default)]
struct Noted<T> {
    table: T,
    /// Those that were removed have the note for that.
    notes: Vec<Note>,
    /// How many were removed.
    gone: usize,
}

impl<T: Numbered> Noted<T> {
    fn len(&self) -> usize {
        self.notes.len() - self.gone
    }

    fn insert(&mut self, text: &[u8], note: Note) -> Option<Note> {
        match self.table.insert(text) {
            Ok(known) => {
                let before = std::mem::replace(&mut self.notes[known as usize], note);
                self.gone -= usize::from(before.is_gone());
                (!before.is_gone()).then_some(before)
            }
            Err(_) => {
                self.notes.push(note);
                None
            }
        }
    }

    fn remove(&mut self, text: &[u8]) -> Option<Note> {
        let at = self.table.texts().index_of(text)?;
        let before = std::mem::replace(&mut self.notes[at as usize], Note::GONE);
        if before.is_gone() {
            return None;
        }
        self.gone += 1;
        Some(before)
    }

    fn build(self) -> (T, Vec<Note>) {
        let Self { mut table, mut notes, gone } = self;
        if gone > 0 {
            let mut left = T::default();
            for (index, _) in (0..).zip(&notes).filter(|(_, note)| !note.is_gone()) {
                if let Some(text) = table.texts().get(index) {
                    // No text stands in a table twice.
                    let _ = left.insert(text);
                }
            }
            notes.retain(|note| !note.is_gone());
            table = left;
        }
        table.texts_mut().shrink();
        (table, notes)
    }
}

/// Regular expressions, each with a note.
#[derive(Clone, Debug, Default)]
struct OpenExpressions {
    /// As they were put together, as long as nothing but notes has changed: putting them together
    /// is compiling all of them.
    built: Option<Arc<Expressions>>,
    /// Those that were removed have the note for that.
    each: Vec<OpenExpression>,
    /// Where each stands, by its text.
    known: HashMap<Box<str>, usize>,
    next_place: u64,
}

#[derive(Clone, Debug)]
struct OpenExpression {
    place: u64,
    regex: Regex,
    note: Note,
}

impl OpenExpressions {
    fn of(built: &Arc<Expressions>, notes: &[Note]) -> Self {
        let each: Vec<_> = built
            .iter()
            .zip(notes)
            .map(|((place, regex), &note)| OpenExpression { place, regex: regex.clone(), note })
            .collect();
        let known = each.iter().enumerate();
        let known = known.map(|(at, open)| (open.regex.as_str().into(), at)).collect();
        Self { built: Some(Arc::clone(built)), each, known, next_place: built.next_place() }
    }

    fn len(&self) -> usize {
        self.each.iter().filter(|open| !open.note.is_gone()).count()
    }

    /// The place that is meant for one that stands nowhere yet.
    fn new_place(&mut self, place: Place) -> u64 {
        match place {
            Place::At(place) => place,
            Place::Written => {
                let place = self.next_place.max(PLACES_WRITTEN);
                self.next_place = place + 1;
                place
            }
        }
    }

    fn insert(&mut self, regex: Regex, note: Note, place: Place) -> Option<Note> {
        let Some(&at) = self.known.get(regex.as_str()) else {
            let place = self.new_place(place);
            self.known.insert(regex.as_str().into(), self.each.len());
            self.each.push(OpenExpression { place, regex, note });
            self.built = None;
            return None;
        };
        let before = std::mem::replace(&mut self.each[at].note, note);
        let stands = self.each[at].place;
        let place = match place {
            Place::Written if !before.is_gone() => stands,
            place => self.new_place(place),
        };
        if before.is_gone() || place != stands {
            self.each[at].place = place;
            self.built = None;
        }
        (!before.is_gone()).then_some(before)
    }

    fn remove(&mut self, text: &str) -> Option<Note> {
        let at = *self.known.get(text)?;
        let before = std::mem::replace(&mut self.each[at].note, Note::GONE);
        if before.is_gone() {
            return None;
        }
        self.built = None;
        Some(before)
    }

    fn build(self) -> (Arc<Expressions>, Vec<Note>) {
        let Self { built, mut each, next_place, .. } = self;
        each.retain(|open| !open.note.is_gone());
        // Two that were set on different machines may have the same.
        each.sort_by(|a, b| (a.place, a.regex.as_str()).cmp(&(b.place, b.regex.as_str())));
        let notes = each.iter().map(|open| open.note).collect();
        let expressions = built.unwrap_or_else(|| {
            let placed = each.into_iter().map(|open| (open.place, open.regex));
            Arc::new(Expressions::new(placed.collect(), next_place))
        });
        (expressions, notes)
    }
}
