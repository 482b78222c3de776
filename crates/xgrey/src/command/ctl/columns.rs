//! Rows in columns that begin to be printed before the last one is known.
//!
//! The first page of rows says how wide the columns are; it is held back until it is full or nothing
//! more comes for a moment. On a terminal a row is never wider than that: the last two columns, of
//! addresses, share what the others leave, and what is too long for its column is cut off.
//!
//! Never knows: what is in the columns.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Rows that say how wide the columns are: a screenful.
const PAGE: usize = 50;
/// Between two columns.
const GAP: &str = "  ";
/// Narrower than this a column of addresses says nothing.
const ADDRESS_WIDTH_MIN: usize = 8;

/// What is to happen to what is wider than its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// It is printed whole, and pushes what follows aside.
    Unbounded,
    /// It is cut off, so that no row is wider than so many cells.
    AtMost(usize),
}

/// The table being printed.
#[derive(Debug)]
pub(super) struct Columns<W> {
    out: W,
    width: Width,
    head: Vec<&'static str>,
    page: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl<W: Write> Columns<W> {
    /// A table with that head; at least two columns.
    pub(super) fn new(out: W, width: Width, head: &[&'static str]) -> Self {
        Self { out, width, head: head.to_vec(), page: Vec::new(), widths: None }
    }

    /// Adds a row, as long as the head.
    pub(super) fn row(&mut self, row: Vec<String>) -> io::Result<()> {
        if let Some(widths) = &self.widths {
            return print(&mut self.out, self.width, widths, &row);
        }
        self.page.push(row);
        if self.page.len() == PAGE { self.print_page() } else { Ok(()) }
    }

    /// Shows all that there is so far.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        if !self.page.is_empty() {
            self.print_page()?;
        }
        self.out.flush()
    }

    fn print_page(&mut self) -> io::Result<()> {
        let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
        let mut widths: Vec<usize> = head.iter().map(|name| name.width()).collect();
        for row in &self.page {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        if let Width::AtMost(cells) = self.width {
            narrow(&mut widths, cells);
        }
        for row in [head].iter().chain(&self.page) {
            print(&mut self.out, self.width, &widths, row)?;
        }
        self.page.clear();
        self.widths = Some(widths);
        Ok(())
    }
}

/// Takes from the last two columns what is too much for a row of `cells`.
fn narrow(widths: &mut [usize], cells: usize) {
    let gaps = GAP.len() * (widths.len() - 1);
    let Some((others, [first, last])) = widths.split_last_chunk_mut::<2>() else { return };
    let room = cells.saturating_sub(others.iter().sum::<usize>() + gaps);
    if *first + *last <= room {
        return;
    }
    // What one of them does not need of its half is the other's.
    let half = (room / 2).max(ADDRESS_WIDTH_MIN);
    *first = (*first).min(half.max(room.saturating_sub(*last)));
    *last = (*last).min(room.saturating_sub(*first).max(ADDRESS_WIDTH_MIN));
}

fn print(out: &mut impl Write, width: Width, widths: &[usize], row: &[String]) -> io::Result<()> {
    let last = row.len() - 1;
    for (place, (cell, &wide)) in row.iter().zip(widths).enumerate() {
        let cut;
        let shown = match width {
            Width::AtMost(_) => {
                cut = fitted(cell, wide);
                cut.as_str()
            }
            Width::Unbounded => cell,
        };
        out.write_all(shown.as_bytes())?;
        if place < last {
            let fill = wide.saturating_sub(shown.width());
            write!(out, "{:fill$}{GAP}", "")?;
        }
    }
    out.write_all(b"\n")
}

/// As much of `cell` as `wide` cells hold, with an ellipsis if that is not all.
fn fitted(cell: &str, wide: usize) -> String {
    if cell.width() <= wide {
        return cell.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < wide
    };
    let mut shown: String = cell.chars().take_while(fits).collect();
    shown.push('…');
    shown
}

/// An address as it can be printed: what could move the cursor, hide or turn around the text is
/// shown as its number, the null sender as `<>`.
pub(super) fn printable(address: &str) -> String {
    if address.is_empty() {
        return "<>".to_owned();
    }
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
    };
    if !address.contains(is_unsafe) {
        return address.to_owned();
    }
    let mut shown = String::new();
    for c in address.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(width: Width, rows: &[[&str; 4]]) -> String {
        let mut out = Vec::new();
        let mut columns = Columns::new(&mut out, width, &["state", "client", "sender", "to"]);
        for row in rows {
            columns.row(row.iter().map(|&cell| cell.to_owned()).collect()).unwrap();
        }
        columns.pause().unwrap();
        String::from_utf8(out).unwrap()
    }

    const ROWS: [[&str; 4]; 3] = [
        ["grey", "192.0.2.7", "alice@example.net", "bob@example.org"],
        ["white", "2001:db8::7", "newsletter-bounces@mail.example.net", "b@example.org"],
        ["grey", "192.0.2.77", "<>", "postmaster@example.org"],
    ];

    #[test]
    fn columns_are_as_wide_as_they_need() {
        assert_eq!(
            table(Width::Unbounded, &ROWS),
            "state  client       sender                               to\n\
             grey   192.0.2.7    alice@example.net                    bob@example.org\n\
             white  2001:db8::7  newsletter-bounces@mail.example.net  b@example.org\n\
             grey   192.0.2.77   <>                                   postmaster@example.org\n"
        );
    }

    #[test]
    fn on_a_terminal_addresses_share_what_the_others_leave() {
        assert_eq!(
            table(Width::AtMost(60), &ROWS),
            "state  client       sender               to\n\
             grey   192.0.2.7    alice@example.net    bob@example.org\n\
             white  2001:db8::7  newsletter-bounces…  b@example.org\n\
             grey   192.0.2.77   <>                   postmaster@example…\n"
        );
        assert_eq!(table(Width::AtMost(200), &ROWS), table(Width::Unbounded, &ROWS));
    }

    #[test]
    fn a_later_row_that_is_wider_is_cut_on_a_terminal_and_whole_elsewhere() {
        let mut rows = vec![ROWS[0]; PAGE];
        rows.push(ROWS[1]);
        let last = |width| table(width, &rows).lines().last().unwrap().to_owned();
        let whole = "white  2001:db8::7  newsletter-bounces@mail.example.net  b@example.org";
        assert_eq!(last(Width::Unbounded), whole);
        assert_eq!(last(Width::AtMost(100)), "white  2001:db8…  newsletter-bounc…  b@example.org");
    }

    #[test]
    fn nothing_is_printed_before_the_first_page_and_everything_after_a_pause() {
        let mut columns = Columns::new(Vec::new(), Width::Unbounded, &["a", "b"]);
        let row = || vec!["1".to_owned(), "2".to_owned()];
        columns.row(row()).unwrap();
        assert_eq!(columns.out, b"");
        columns.pause().unwrap();
        assert_eq!(columns.out, b"a  b\n1  2\n");
        columns.row(row()).unwrap();
        assert_eq!(columns.out, b"a  b\n1  2\n1  2\n");
        let mut columns = Columns::new(Vec::new(), Width::Unbounded, &["a", "b"]);
        columns.pause().unwrap();
        assert_eq!(columns.out, b"", "no head without rows");
        (0..PAGE).for_each(|_| columns.row(row()).unwrap());
        assert_eq!(columns.out.len(), 5 * (PAGE + 1));
    }

    #[test]
    fn an_address_can_do_nothing_to_a_terminal() {
        for (address, shown) in [
            ("a@example.net", "a@example.net"),
            ("ä@example.net", "ä@example.net"),
            ("", "<>"),
            ("\x1b[2J@example.net", "\\u{1b}[2J@example.net"),
            ("a\nb\u{9b}", "a\\u{a}b\\u{9b}"),
            ("a\u{202e}ten.elpmaxe", "a\\u{202e}ten.elpmaxe"),
        ] {
            assert_eq!(printable(address), shown);
        }
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_the_terminal(
            rows in prop::collection::vec(["[a-zäあ@.]{0,80}", "[a-zäあ@.]{0,80}"], 1..60),
            cells in 40_usize..200,
        ) {
            let rows: Vec<[&str; 4]> =
                rows.iter().map(|[from, to]| ["grey", "192.0.2.7", from, to]).collect();
            for line in table(Width::AtMost(cells), &rows).lines() {
                prop_assert!(line.width() <= cells, "{} > {}: {}", line.width(), cells, line);
            }
        }
    }
}
