//! Reads values of the right type out of a TOML table, and notes every mistake on the way: a wrong
//! type, an unknown key, a missing one. A value that is wrong reads as if it were not there, so
//! that reading goes on.
//!
//! Never knows: what a value means.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, SECTIONS, Section};
use super::mistake::{Mistake, listed, nearest, shown};
use super::report::{Finding, Place, Report, Severity};

/// A key of ours and its other spelling, which is understood as well.
const GREYLIST: &str = "greylist";
const GRAYLIST: &str = "graylist";

/// A text as it is written, and where.
pub(super) type Word<'a> = Spanned<&'a str>;
/// A list of texts.
pub(super) type Words<'a> = Spanned<Vec<Word<'a>>>;

/// What is found in the configuration file, and the file's text to find the places in; and what is
/// found in the list files that it names.
pub(super) struct Notes<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Lines with something that is not TOML, in order. What else is wrong there mostly follows
    /// from it.
    broken_lines: Vec<Range<usize>>,
    /// An offset in the text, and how many lines end before it.
    cursor: (usize, usize),
    report: Report,
    /// What is found in list files.
    pub(super) lists: Report,
}

impl<'t> Notes<'t> {
    pub(super) fn new(file: Arc<str>, text: &'t str) -> Self {
        let (report, lists) = (Report::default(), Report::default());
        Self { file, text, broken_lines: Vec::new(), cursor: (0, 0), report, lists }
    }

    /// What was found, in the order of the lines, then the list files.
    pub(super) fn into_report(mut self) -> Report {
        self.report.sort();
        self.report.append(self.lists);
        self.report
    }

    /// Notes what is not TOML. One mistake a line: those after it mostly follow from it.
    pub(super) fn syntax(&mut self, errors: Vec<toml::de::Error>) {
        let mut errors: Vec<_> =
            errors.into_iter().map(|error| (error.span().unwrap_or(0..0), error)).collect();
        errors.sort_by_key(|(span, _)| span.start);
        for (span, error) in errors {
            if self.is_broken(&span) {
                continue;
            }
            let written = self.text.get(span.clone()).unwrap_or("").trim();
            let unquoted = error.message().starts_with("string values must be quoted");
            let (label, help) = match written.to_ascii_lowercase().as_str() {
                "" if unquoted => ("a value is missing here", None),
                "true" | "yes" | "on" => ("not a TOML value", Some("write `true`".into())),
                "false" | "no" | "off" => ("not a TOML value", Some("write `false`".into())),
                _ if unquoted => {
                    ("not a TOML value", Some(format!("put it in quotes: \"{}\"", shown(written))))
                }
                _ => (error.message(), None),
            };
            let line = self.line_around(span.start);
            let finding = self.error(span, "this is not TOML");
            finding.label(label).help.extend(help);
            self.broken_lines.push(line);
        }
    }

    /// Whether `span` begins in a line that is not TOML.
    fn is_broken(&self, span: &Range<usize>) -> bool {
        let after = self.broken_lines.partition_point(|line| line.start <= span.start);
        let line = after.checked_sub(1).and_then(|last| self.broken_lines.get(last));
        line.is_some_and(|line| span.start <= line.end)
    }

    /// The line that holds the byte at `offset`, without its end.
    fn line_around(&self, offset: usize) -> Range<usize> {
        let offset = self.text.floor_char_boundary(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |length| offset + length);
        start..end
    }

    /// The number of the line, from 1, in which `span` begins. Quick if asked in the order of the
    /// text.
    pub(super) fn line(&mut self, span: &Range<usize>) -> u32 {
        let offset = span.start.min(self.text.len());
        if offset < self.cursor.0 {
            self.cursor = (0, 0);
        }
        let newlines = self.text.as_bytes()[self.cursor.0..offset].iter().filter(|&&b| b == b'\n');
        self.cursor = (offset, self.cursor.1 + newlines.count());
        u32::try_from(self.cursor.1 + 1).unwrap_or(u32::MAX)
    }

    /// How the file is called.
    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The bytes `span` of the file.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::in_text(&self.file, self.text, span)
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Finding {
        if self.is_broken(&span) {
            return self.report.hide(Finding::new(
                Severity::Error,
                Place::file(&self.file),
                message,
            ));
        }
        self.add(Severity::Error, span, message)
    }

    pub(super) fn warning(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(Severity::Warning, span, message)
    }

    fn add(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Finding {
        // Finding the place takes a walk through the file: not for what is only counted.
        let full = self.report.is_full(severity);
        let place = if full { Place::file(&self.file) } else { self.place(span) };
        self.report.add(Finding::new(severity, place, message))
    }

    /// Notes that the value of `key` is wrong, and how.
    pub(super) fn mistake(&mut self, key: &str, span: Range<usize>, mistake: Mistake) {
        let finding = self.error(span, format!("invalid `{key}`"));
        finding.label(mistake.what);
        finding.help.extend(mistake.help);
    }

    /// Notes that a table, begun at `header`, has no `key`.
    pub(super) fn missing(&mut self, section: &Section, key: &str, header: Range<usize>) {
        let message = format!("`{key}` is missing in {}", section.named());
        let example = section.example(key);
        self.error(header, message).help(format!("for example: {key} = {example}"));
    }

    /// Where the bytes `part` of a text's value stand in the file; the whole text if it is not
    /// written as it reads (it has escapes).
    pub(super) fn part(&self, word: &Word<'_>, part: Range<usize>) -> Range<usize> {
        let span = word.span();
        let value = *word.get_ref();
        let written = self.text.get(span.clone()).unwrap_or("");
        match written.find(value) {
            Some(at) if part.end <= value.len() && part.start < part.end => {
                span.start + at + part.start..span.start + at + part.end
            }
            _ => span,
        }
    }
}

/// The kinds of values, with how they are asked for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Time,
    Size,
    Number,
    Switch,
    Texts,
    Table,
    Tables,
}

impl Kind {
    /// The kind, with its article.
    fn described(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Time => "a length of time",
            Self::Size => "a size",
            Self::Number => "a whole number",
            Self::Switch => "true or false",
            Self::Texts => "a list of texts",
            Self::Table => "a table",
            Self::Tables => "a list of tables",
        }
    }
}

/// A table that is being read.
#[derive(Clone)]
pub(super) struct TableReader<'a, 't> {
    section: &'static Section,
    table: &'a DeTable<'t>,
    header: Range<usize>,
}

impl<'a, 't> TableReader<'a, 't> {
    pub(super) fn new(
        section: &'static Section,
        table: &'a DeTable<'t>,
        header: Range<usize>,
    ) -> Self {
        Self { section, table, header }
    }

    /// Where the table is begun, for what is missing in it.
    pub(super) fn header(&self) -> Range<usize> {
        self.header.clone()
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        debug_assert!(self.section.has(key), "{key} is not listed in keys.rs");
        let other_spelling = if key == GREYLIST { GRAYLIST } else { key };
        self.table.get(key).or_else(|| self.table.get(other_spelling))
    }

    /// A text.
    pub(super) fn text(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<Word<'a>> {
        self.word(notes, key, Kind::Text)
    }

    /// A text that must be there.
    pub(super) fn required_text(
        &self,
        notes: &mut Notes<'_>,
        key: &'static str,
    ) -> Option<Word<'a>> {
        if let Some(header) = self.lacks(key, notes) {
            notes.missing(self.section, key, header);
        }
        self.text(notes, key)
    }

    /// Where the table is begun, if it has no such key: for a key that only some tables need. None
    /// too if there are lines that can't be read: the key may stand there.
    pub(super) fn lacks(&self, key: &'static str, notes: &Notes<'_>) -> Option<Range<usize>> {
        (self.get(key).is_none() && notes.broken_lines.is_empty()).then(|| self.header())
    }

    /// A length of time, not looked at.
    pub(super) fn time(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<Word<'a>> {
        self.word(notes, key, Kind::Time)
    }

    fn word(&self, notes: &mut Notes<'_>, key: &'static str, kind: Kind) -> Option<Word<'a>> {
        let value = self.get(key)?;
        let word = value.get_ref().as_str();
        if word.is_none() {
            self.wrong_kind(notes, key, value, kind);
        }
        Some(Spanned::new(value.span(), word?))
    }

    /// A size, not looked at: a text, or a number of bytes.
    pub(super) fn size(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        let written = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => integer(other).map(|bytes| bytes.to_string()),
        };
        if written.is_none() {
            self.wrong_kind(notes, key, value, Kind::Size);
        }
        Some(Spanned::new(value.span(), written?))
    }

    /// A whole number.
    pub(super) fn number(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<Spanned<i64>> {
        let value = self.get(key)?;
        let number = integer(value.get_ref());
        if number.is_none() {
            self.wrong_kind(notes, key, value, Kind::Number);
        }
        Some(Spanned::new(value.span(), number?))
    }

    /// `true` or `false`.
    pub(super) fn switch(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        let switch = value.get_ref().as_bool();
        if switch.is_none() {
            self.wrong_kind(notes, key, value, Kind::Switch);
        }
        switch
    }

    /// A list of texts; those that are none are noted and left out.
    pub(super) fn texts(&self, notes: &mut Notes<'_>, key: &'static str) -> Option<Words<'a>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_kind(notes, key, value, Kind::Texts);
            return None;
        };
        let mut words = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(word) => words.push(Spanned::new(item.span(), word)),
                None => self.wrong_kind(notes, key, item, Kind::Text),
            }
        }
        Some(Spanned::new(value.span(), words))
    }

    /// A table within this one.
    pub(super) fn table(
        &self,
        notes: &mut Notes<'_>,
        key: &'static str,
        section: &'static Section,
    ) -> Option<TableReader<'a, 't>> {
        let value = self.get(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_kind(notes, key, value, Kind::Table);
        }
        Some(TableReader::new(section, table?, value.span()))
    }

    /// A list of tables within this one.
    pub(super) fn tables(
        &self,
        notes: &mut Notes<'_>,
        key: &'static str,
        section: &'static Section,
    ) -> Option<Spanned<Vec<TableReader<'a, 't>>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_kind(notes, key, value, Kind::Tables);
            return None;
        };
        let mut tables = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => tables.push(TableReader::new(section, table, item.span())),
                None => self.wrong_kind(notes, key, item, Kind::Table),
            }
        }
        Some(Spanned::new(value.span(), tables))
    }

    /// A table with keys of its own, each with a text.
    pub(super) fn pairs(
        &self,
        notes: &mut Notes<'_>,
        key: &'static str,
    ) -> Option<Vec<(Word<'a>, Word<'a>)>> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_kind(notes, key, value, Kind::Table);
            return None;
        };
        let mut pairs = Vec::with_capacity(table.len());
        for (name, value) in table {
            let name = Spanned::new(name.span(), &**name.get_ref());
            match value.get_ref().as_str() {
                Some(word) => pairs.push((name, Spanned::new(value.span(), word))),
                None => wrong_kind(notes, name.get_ref(), "\"debug\"", value, Kind::Text),
            }
        }
        Some(pairs)
    }

    /// Notes every key that the section does not have.
    pub(super) fn finish(&self, notes: &mut Notes<'_>) {
        for (key, value) in self.table {
            let name = &**key.get_ref();
            let other_spelling = name == GRAYLIST
                && self.section.has(GREYLIST)
                && !self.table.contains_key(GREYLIST);
            if !self.section.has(name) && !other_spelling {
                self.unknown(notes, name, key.span(), value.get_ref());
            }
        }
    }
}

impl TableReader<'_, '_> {
    /// Notes a key that the section does not have, with the one that was probably meant.
    fn unknown(&self, notes: &mut Notes<'_>, key: &str, span: Range<usize>, value: &DeValue<'_>) {
        let section = self.section;
        let elsewhere = |key: &str| {
            let other = SECTIONS.iter().find(|other| other.has(key));
            other.map_or_else(String::new, |other| other.named())
        };
        let help = match (keys::foreign(key), nearest(key, section.names())) {
            (Some((ours, whose)), _) if section.has(ours) => {
                format!("what {whose} calls `{key}` is `{ours}` here")
            }
            (Some((ours, whose)), _) => {
                format!("what {whose} calls `{key}` is `{ours}` of {} here", elsewhere(ours))
            }
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if !elsewhere(key).is_empty() && !value.is_table() => {
                format!("`{key}` belongs to {}", elsewhere(key))
            }
            (None, None) => {
                let names = listed(section.names(), '`', "and");
                format!("the keys of {} are {names}", section.named())
            }
        };
        let finding = notes.error(span, format!("unknown key `{}`", shown(key)));
        finding.label(format!("not a key of {}", section.named())).help(help);
    }

    /// Notes that a value, or one within it, is of another kind than its key wants.
    fn wrong_kind(
        &self,
        notes: &mut Notes<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        kind: Kind,
    ) {
        wrong_kind(notes, key, self.section.example(key), value, kind);
    }
}

/// An integer's value, if it has at most 64 bits.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn wrong_kind(
    notes: &mut Notes<'_>,
    key: &str,
    example: &str,
    value: &Spanned<DeValue<'_>>,
    kind: Kind,
) {
    let wanted = kind.described();
    let found = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) if matches!(kind, Kind::Number | Kind::Size) => "too large a number",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let help = match (kind, value.get_ref()) {
        (Kind::Time, DeValue::Integer(number)) => {
            format!("give it a unit, in quotes: {key} = \"{number}s\"")
        }
        (Kind::Number, DeValue::String(text)) if text.parse::<i64>().is_ok() => {
            format!("write it without quotes: {key} = {text}")
        }
        (Kind::Switch, DeValue::String(text)) => {
            let on = ["true", "yes", "on", "1"].contains(&&*text.to_ascii_lowercase());
            format!("write it without quotes: {key} = {on}")
        }
        (Kind::Text, DeValue::Integer(number)) if number.radix() == 8 => {
            format!("write it as a text: {key} = \"0{}\"", number.as_str())
        }
        (Kind::Text, DeValue::Integer(_) | DeValue::Float(_)) => {
            let written = notes.text.get(value.span()).unwrap_or("…");
            format!("put it in quotes: \"{}\"", shown(written))
        }
        (Kind::Texts, DeValue::String(text)) => {
            format!("put it in brackets: {key} = [\"{}\"]", shown(text))
        }
        (Kind::Tables, DeValue::Table(_)) => format!("begin it with double brackets: [[{key}]]"),
        _ => format!("for example: {key} = {example}"),
    };
    let message = format!("`{}` must be {wanted}", shown(key));
    notes.error(value.span(), message).label(format!("this is {found}")).help(help);
}
