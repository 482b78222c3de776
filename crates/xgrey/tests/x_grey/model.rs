//! The obvious server: sections 5.1 to 5.5 of "X-Grey v1.1 protocol", line by line, with the differences that
//! `docs/x-grey.md` names: grey tuples are forgotten a window after their first try and all exactly when it
//! is time, what is removed is gone at once, rules for IPv4 say nothing of IPv6.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::Ipv4Net;
use wire::xgrey_v1::{Action, TextList, Why};

const EMBARGO_SECS: u64 = 1_500;
const WINDOW_SECS: u64 = 21_600;
const LIFETIME_SECS: u64 = 3_110_400;
const KEPT_BYTES: usize = 107;

/// What is asked about a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Greylist,
    Whitelist,
    Remove,
}

/// Client, sender, recipient.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tuple {
    pub(crate) client: IpAddr,
    pub(crate) sender: String,
    pub(crate) recipient: String,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    Grey { created: u64 },
    White { used: u64 },
}

/// The server's memory.
#[derive(Debug)]
pub(crate) struct Model {
    ip_list: BTreeMap<Ipv4Net, Action>,
    ip_default: Action,
    lists: [(BTreeMap<String, Action>, Action); 4],
    tuples: HashMap<Tuple, Known>,
}

/// What one list says.
enum Verdict {
    Decided(Action, Why),
    /// Greylist, by an entry.
    Explicit,
    /// Greylist, by the default.
    Passed,
}

impl Model {
    pub(crate) fn new() -> Self {
        let list = || (BTreeMap::new(), Action::Greylist);
        Self {
            ip_list: BTreeMap::new(),
            ip_default: Action::Greylist,
            lists: [list(), list(), list(), list()],
            tuples: HashMap::new(),
        }
    }

    /// Section 5.5.
    pub(crate) fn change_ip(&mut self, network: Ipv4Net, action: Option<Action>) {
        match (network.prefix_len(), action) {
            (0, Some(action)) => self.ip_default = action,
            (0, None) => {}
            (_, Some(action)) => _ = self.ip_list.insert(network.trunc(), action),
            (_, None) => _ = self.ip_list.remove(&network.trunc()),
        }
    }

    /// Section 5.5.
    pub(crate) fn change(&mut self, list: TextList, text: &str, action: Option<Action>) {
        let (entries, default) = &mut self.lists[list as usize];
        match (text, action) {
            ("default" | "DEFAULT", Some(action)) => *default = action,
            ("default" | "DEFAULT", None) => {}
            (_, Some(action)) => _ = entries.insert(text.to_owned(), action),
            (_, None) => _ = entries.remove(text),
        }
    }

    /// The answer, and what is remembered after it.
    pub(crate) fn ask(&mut self, now: u64, ask: Ask, tuple: &Tuple) -> (Action, Why) {
        let key = Tuple {
            client: tuple.client,
            sender: cut(&tuple.sender).to_owned(),
            recipient: cut(&tuple.recipient).to_owned(),
        };
        if ask == Ask::Remove {
            self.tuples.remove(&key);
            return (Action::Greylist, Why::Greylist);
        }
        self.filter(&key).unwrap_or_else(|| self.table(now, ask, key))
    }

    /// Section 5.1.
    fn filter(&self, tuple: &Tuple) -> Option<(Action, Why)> {
        let ip = self.ip(tuple.client);
        if ip != Action::Greylist {
            return Some((ip, Why::Ip));
        }
        let Tuple { sender, recipient, .. } = tuple;
        let from = [TextList::From, TextList::FromDomain];
        let to = [TextList::To, TextList::ToDomain];
        self.address(sender, from).or_else(|| self.address(recipient, to))
    }

    /// The longest prefix.
    fn ip(&self, client: IpAddr) -> Action {
        let IpAddr::V4(client) = client else { return self.ip_default };
        let matching = self.ip_list.iter().filter(|(network, _)| network.contains(&client));
        let longest = matching.max_by_key(|(network, _)| network.prefix_len());
        longest.map_or(self.ip_default, |(_, action)| *action)
    }

    /// An address's list and, unless an entry there says to go on, its domain's.
    fn address(&self, address: &str, [whole, domain]: [TextList; 2]) -> Option<(Action, Why)> {
        match self.look_up(whole, address) {
            Verdict::Decided(action, why) => return Some((action, why)),
            Verdict::Explicit => return None,
            Verdict::Passed => {}
        }
        let (_, text) = address.split_once('@')?;
        match self.look_up(domain, text) {
            Verdict::Decided(action, why) => Some((action, why)),
            Verdict::Explicit | Verdict::Passed => None,
        }
    }

    fn look_up(&self, list: TextList, text: &str) -> Verdict {
        let (entries, default) = &self.lists[list as usize];
        let why = match list {
            TextList::To => Why::To,
            TextList::ToDomain => Why::ToDomain,
            TextList::From => Why::From,
            TextList::FromDomain => Why::FromDomain,
        };
        match (entries.get(text), default) {
            (Some(Action::Greylist), _) => Verdict::Explicit,
            (Some(action), _) => Verdict::Decided(*action, why),
            (None, Action::Greylist) => Verdict::Passed,
            (None, action) => Verdict::Decided(*action, why),
        }
    }

    /// Section 5.2.
    fn table(&mut self, now: u64, ask: Ask, key: Tuple) -> (Action, Why) {
        let known = self.tuples.get(&key).copied().filter(|known| match known {
            Known::Grey { created } => now - created <= WINDOW_SECS,
            Known::White { used } => now - used <= LIFETIME_SECS,
        });
        let known = match (ask, known) {
            (Ask::Whitelist, _) | (_, Some(Known::White { .. })) => Known::White { used: now },
            (_, None) => Known::Grey { created: now },
            (_, Some(Known::Grey { created })) if now - created < EMBARGO_SECS => {
                Known::Grey { created }
            }
            (_, Some(Known::Grey { .. })) => Known::White { used: now },
        };
        self.tuples.insert(key, known);
        match known {
            Known::Grey { .. } => (Action::Greylist, Why::Greylist),
            Known::White { .. } => (Action::Accept, Why::Whitelist),
        }
    }
}

/// What of an address is kept. Tests use ASCII.
fn cut(address: &str) -> &str {
    &address[..address.len().min(KEPT_BYTES)]
}
