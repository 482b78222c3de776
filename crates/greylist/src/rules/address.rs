//! Whole addresses, and local parts at any domain:
//!
//! | entry               | matches                                                        |
//! |---------------------|----------------------------------------------------------------|
//! | `user@example.net`  | that address                                                   |
//! | `user+*@example.net`| that address, and `user` with any extension at that domain     |
//! | `user@`             | `user` at any domain, and without one                          |
//! | `user+*@`           | as above, and `user` with any extension                        |
//! | (empty, shown `<>`) | the null sender                                                |
//!
//! They are tried in this order.

use super::text::{AnyCase, Numbered, TextTable};
use crate::query::split_address;

/// Ends the local part of an entry that also matches extensions.
pub(super) const EXTENSION: &str = "+*@";

/// The rules of a list of addresses that a look-up finds.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressTable {
    texts: TextTable,
    /// Whether there are entries for a local part at any domain.
    locals: Forms,
    /// Whether there are entries with extensions, and the most `+` that come before theirs: how
    /// many ways there are to split a local part that is worth looking up.
    extensions: Option<usize>,
}

/// Whether a list has entries of a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Forms {
    #[default]
    Absent,
    Present,
}

impl Numbered for AddressTable {
    type Letters = AnyCase;

    fn texts(&self) -> &TextTable {
        &self.texts
    }

    fn texts_mut(&mut self) -> &mut TextTable {
        &mut self.texts
    }

    fn note(&mut self, text: &[u8]) {
        if text.ends_with(b"@") {
            self.locals = Forms::Present;
        }
        let extension =
            text.windows(EXTENSION.len()).rposition(|part| part == EXTENSION.as_bytes());
        if let Some(at) = extension {
            let plus_signs = text[..at].iter().filter(|&&byte| byte == b'+').count();
            self.extensions = self.extensions.max(Some(plus_signs));
        }
    }
}

impl AddressTable {
    /// The best match, in the order of the table above.
    pub(super) fn best_match(&self, address: &[u8]) -> Option<u32> {
        if self.texts.is_empty() {
            return None;
        }
        let (local, domain) = split_address(address);
        let whole = self.texts.find(&[address]);
        whole
            .or_else(|| self.with_extension(local, domain.filter(|domain| !domain.is_empty())?))
            .or_else(|| match self.locals {
                Forms::Present if !address.is_empty() => {
                    let plain = self.texts.find(&[local, b"@"]);
                    plain.or_else(|| self.with_extension(local, b""))
                }
                _ => None,
            })
    }

    /// The entry `user+*@domain` with the longest `user` that `local` is, or is with an extension.
    fn with_extension(&self, local: &[u8], domain: &[u8]) -> Option<u32> {
        let plus_signs_max = self.extensions?;
        let find = |user: &[u8]| self.texts.find(&[user, EXTENSION.as_bytes(), domain]);
        let mut splits = local.iter().enumerate().filter(|&(_, &byte)| byte == b'+');
        let mut best = None;
        for _ in 0..=plus_signs_max {
            let Some((at, _)) = splits.next() else {
                return find(local).or(best);
            };
            best = find(&local[..at]).or(best);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether `local` is `user`, or `user` with an extension.
    fn extends(local: &str, user: &str) -> bool {
        local.strip_prefix(user).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
    }

    /// The obvious way: look at each entry, and keep the one that is first in the module's table;
    /// among those with extensions the longest.
    fn naive<'a>(entries: &'a [String], address: &str) -> Option<&'a str> {
        let address = address.to_ascii_lowercase();
        let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
        let rank = |entry: &str| -> Option<u8> {
            let (user, at) = entry.rsplit_once('@')?;
            match user.strip_suffix("+*") {
                _ if entry == address => Some(4),
                Some(user) if at == domain && !at.is_empty() && extends(local, user) => Some(3),
                None if at.is_empty() && user == local => Some(2),
                Some(user) if at.is_empty() && extends(local, user) => Some(1),
                _ => None,
            }
        };
        let ranked = entries.iter().filter_map(|entry| Some((rank(entry)?, entry.len(), entry)));
        ranked.max().map(|(.., entry)| entry.as_str())
    }

    proptest! {
        #[test]
        fn the_best_match_is_found_as_by_looking_at_each(
            entries in prop::collection::vec(r"[ab]{1,2}(\+[ab]){0,2}(\+\*)?@[xy]?", 0..40),
            asked in prop::collection::vec(r"[abAB]{1,2}(\+[abA]){0,3}(@[xyX])?", 1..40),
        ) {
            let mut table = AddressTable::default();
            for entry in &entries {
                let _ = table.insert(entry.as_bytes());
            }
            table.texts.shrink();
            for address in &asked {
                let found = table.best_match(address.as_bytes());
                let found = found.and_then(|at| table.texts.get(at));
                prop_assert_eq!(found, naive(&entries, address).map(str::as_bytes), "{}", address);
            }
        }
    }
}
