//! Domains and host names: `example.net` is itself alone, `.example.net` is itself and all below.

use super::text::{AnyCase, Hash, Numbered, TextTable};

/// The rules of a list of domains that a look-up finds.
#[derive(Clone, Debug, Default)]
pub(super) struct DomainTable {
    texts: TextTable,
    /// The most dots that a suffix has: an attacker's domain of 120 labels is not looked up at
    /// each of them.
    suffix_dots_max: usize,
}

impl Numbered for DomainTable {
    type Letters = AnyCase;

    fn texts(&self) -> &TextTable {
        &self.texts
    }

    fn texts_mut(&mut self) -> &mut TextTable {
        &mut self.texts
    }

    fn note(&mut self, text: &[u8]) {
        if text.starts_with(b".") {
            let dots = text.iter().filter(|&&byte| byte == b'.').count();
            self.suffix_dots_max = self.suffix_dots_max.max(dots);
        }
    }
}

impl DomainTable {
    /// The whole domain, else the longest suffix. `domain` has no final dot.
    pub(super) fn best_match(&self, domain: &[u8]) -> Option<u32> {
        let texts = &self.texts;
        let mut hash = Hash::EMPTY;
        let mut dots = 0;
        let mut longest = None;
        // From the end, so that each suffix's hash comes out on the way. What lies further from
        // the end than the longest text reaches cannot be part of a match.
        let out_of_reach = domain.len().saturating_sub(texts.longest());
        for at in (out_of_reach..domain.len()).rev() {
            hash = hash.prepend::<AnyCase>(domain[at]);
            if domain[at] == b'.' {
                dots += 1;
                if dots <= self.suffix_dots_max {
                    longest = texts.find_hashed(hash, &[&domain[at..]]).or(longest);
                }
            }
        }
        if out_of_reach > 0 {
            return longest;
        }
        if let Some(whole) = texts.find_hashed(hash, &[domain]) {
            return Some(whole);
        }
        if dots < self.suffix_dots_max {
            longest = texts.find_hashed(hash.prepend::<AnyCase>(b'.'), &[b".", domain]).or(longest);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The obvious way: the same text, else the longest suffix of the domain with a dot before it.
    fn naive<'a>(entries: &'a [String], domain: &str) -> Option<&'a str> {
        let domain = domain.to_ascii_lowercase();
        let dotted = format!(".{domain}");
        let matching = entries.iter().map(String::as_str).filter(|entry| {
            **entry == domain || (entry.starts_with('.') && dotted.ends_with(entry))
        });
        matching.max_by_key(|entry| (!entry.starts_with('.'), entry.len()))
    }

    proptest! {
        #[test]
        fn the_best_match_is_found_as_by_looking_at_each(
            entries in prop::collection::vec(r"\.?[ab]{1,2}(\.[ab]{1,2}){0,3}", 0..40),
            asked in prop::collection::vec(r"[abAB]{1,2}(\.[abAB]{1,2}){0,5}", 1..40),
        ) {
            let mut table = DomainTable::default();
            for entry in &entries {
                let _ = table.insert(entry.as_bytes());
            }
            table.texts.shrink();
            let asked = asked.iter().map(String::as_str);
            let plain = entries.iter().map(|entry| entry.trim_start_matches('.'));
            for domain in asked.chain(plain) {
                let found = table.best_match(domain.as_bytes());
                let found = found.and_then(|at| table.texts.get(at));
                prop_assert_eq!(found, naive(&entries, domain).map(str::as_bytes), "{}", domain);
            }
        }
    }
}
