//! The settings in words, for the start-up message.

use greylist::identity::{Normalisation, PrefixV4, PrefixV6};
use greylist::rules::List;

use super::duration::spoken;
use super::{Config, Keeping, Mode, SyncPolicy, TableBound};
use crate::thousands::thousands;

impl Config {
    /// The settings that decide what happens to mail, in words, in one line: `embargo 1 minute,
    /// window 6 hours from the first try, lifetime 36 days; client /24 and /64; …`
    pub fn summary(&self) -> String {
        let timing = format!(
            "embargo {}, window {} from the first try, lifetime {}",
            spoken(self.timing.embargo()),
            spoken(self.timing.window()),
            spoken(self.timing.lifetime()),
        );
        let mut parts = vec![timing, self.identity_in_words(), self.rules_in_words()];
        parts.push(self.exempt_in_words());
        match self.bound {
            TableBound::Quarter => {}
            TableBound::Memory(memory) => {
                parts.push(format!("at most {memory} of memory for the table"));
            }
            TableBound::Capacity(tuples) => {
                parts.push(format!("room for {} tuples", thousands(tuples)));
            }
        }
        match (self.store.journal, self.store.sync) {
            (Keeping::NotKept, _) => parts.push("a restart forgets all tuples".into()),
            (Keeping::Kept, SyncPolicy::Every(_)) => {}
            (Keeping::Kept, SyncPolicy::Always) => {
                parts.push("synced before each answer".into());
            }
            (Keeping::Kept, SyncPolicy::Never) => parts.push("never synced".into()),
        }
        if self.mode == Mode::Observe {
            parts.push("observing only: nothing is delayed or refused".into());
        }
        parts.join("; ")
    }

    fn identity_in_words(&self) -> String {
        let greylist::Identity { prefix_v4, prefix_v6, normalisation } = &self.identity;
        let client = match (*prefix_v4, *prefix_v6) {
            (PrefixV4::EXACT, PrefixV6::EXACT) => "client by its exact address".into(),
            (v4, v6) => format!("client /{} and /{}", v4.bits(), v6.bits()),
        };
        let addresses = match *normalisation {
            Normalisation::ALL => "addresses normalised",
            Normalisation::NONE => "addresses as they are",
            _ => "addresses normalised in part",
        };
        format!("{client}, {addresses}")
    }

    fn rules_in_words(&self) -> String {
        let counted = List::ALL.map(|list| (self.rules.len(list), list.word()));
        let total: usize = counted.iter().map(|(count, _)| count).sum();
        let each: Vec<String> = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        match (total, each.as_slice()) {
            (0, _) => "no rules".into(),
            (1, [only]) => format!("1 rule ({})", only.trim_start_matches("1 ")),
            (_, each) => format!("{total} rules ({})", each.join(", ")),
        }
    }

    fn exempt_in_words(&self) -> String {
        let recipients: Vec<String> = self.exempt.recipients.iter().collect();
        let kinds = [
            (self.exempt.local, "this host"),
            (self.exempt.authenticated, "logins"),
            (self.exempt.certificates, "client certificates"),
        ];
        let kinds = kinds.iter().filter(|(exempt, _)| *exempt).map(|(_, name)| *name);
        let all: Vec<&str> = kinds.chain(recipients.iter().map(String::as_str)).collect();
        if all.is_empty() { "nobody exempt".into() } else { format!("exempt: {}", all.join(", ")) }
    }
}
