//! What a server has counted, in an answer of type 9 (sections 4 and 5.4).

use super::answer::{encode_numbers, numbers};
use super::{Request, Secret};

/// Declares the numbers of the answer once: as fields, and in their order.
macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a server has counted. Numbers are as the original counts them; larger ones than 32
        /// bits hold are for whoever fills this to cut.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Stats {
            /// The fields' names, in their order.
            pub const NAMES: [&'static str; STATS_NUMBERS] = [$(stringify!($name)),*];

            /// The fields, in their order.
            pub const fn numbers(&self) -> [u32; STATS_NUMBERS] {
                [$(self.$name),*]
            }

            /// Those fields, in their order.
            pub const fn of_numbers(numbers: [u32; STATS_NUMBERS]) -> Self {
                let [$($name),*] = numbers;
                Self { $($name),* }
            }
        }
    };
}

/// How many numbers there are.
const STATS_NUMBERS: usize = 41;

stats! {
    /// When the server was started: seconds since 1970.
    starttime,
    /// When this was asked: seconds since 1970.
    nowtime,
    /// Tuples known now.
    tuples,
    /// Entries of the IP list, and 1 for its default.
    ips,
    /// Requests that the IP list passed on.
    ip_greylist,
    /// Requests that the IP list accepted.
    ip_accept,
    /// Requests that the IP list rejected.
    ip_reject,
    /// Tuples that became known. Never goes down.
    greylisted,
    /// Tuples that pass.
    whitelisted,
    /// Tuples that went without having passed.
    greylist_expired,
    /// Tuples that went after having passed.
    whitelist_expired,
    /// Requests of types 2 and 4.
    requests,
    /// Of those: in the last whole cycle between clean-ups.
    requests_cu,
    /// Most in such a cycle.
    requests_cu_max,
    /// As many a cycle.
    requests_cu_ave,
    /// Entries of the list of senders, and 1 for its default.
    from,
    /// Requests that it passed on.
    from_greylist,
    /// Requests that it accepted.
    from_accept,
    /// Requests that it rejected.
    from_reject,
    /// Entries of the list of senders' domains, and 1 for its default.
    fromd,
    /// Requests that it passed on.
    fromd_greylist,
    /// Requests that it accepted.
    fromd_accept,
    /// Requests that it rejected.
    fromd_reject,
    /// Entries of the list of recipients, and 1 for its default.
    to,
    /// Requests that it passed on.
    to_greylist,
    /// Requests that it accepted.
    to_accept,
    /// Requests that it rejected.
    to_reject,
    /// Entries of the list of recipients' domains, and 1 for its default.
    tod,
    /// Requests that it passed on.
    tod_greylist,
    /// Requests that it accepted.
    tod_accept,
    /// Requests that it rejected.
    tod_reject,
    /// Tuples looked for.
    tuples_read,
    /// Of those: in the last whole cycle.
    tuples_read_cu,
    /// Most in such a cycle.
    tuples_read_cu_max,
    /// As many a cycle; the original says 0.
    tuples_read_cu_ave,
    /// Tuples added, and clean-ups.
    tuples_write,
    /// Of those: in the last whole cycle.
    tuples_write_cu,
    /// Most in such a cycle.
    tuples_write_cu_max,
    /// As many a cycle; the original says 0.
    tuples_write_cu_ave,
    /// Fewest tuples at a clean-up.
    tuples_low,
    /// Most tuples ever.
    tuples_high,
}

impl Stats {
    /// Those in an answer; `None` when it is too short.
    pub(super) fn of_answer(datagram: &[u8]) -> Option<Self> {
        numbers(datagram).map(Self::of_numbers)
    }
}

/// Appends the answer to [`ShowStats`](super::Request::ShowStats), 176 bytes.
pub fn encode_stats(secret: &Secret, mta: u16, stats: &Stats, out: &mut Vec<u8>) {
    encode_numbers(secret, mta, Request::ShowStats.answer_type(), &stats.numbers(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_section_4_has_them() {
        let at = |name: &str| {
            let index = Stats::NAMES.iter().position(|&known| known == name).unwrap();
            12 + 4 * index
        };
        for (name, offset) in [
            ("starttime", 12),
            ("ip_greylist", 28),
            ("whitelisted", 44),
            ("requests_cu", 60),
            ("from_greylist", 76),
            ("fromd_greylist", 92),
            ("to_greylist", 108),
            ("tod_greylist", 124),
            ("tuples_read_cu", 140),
            ("tuples_write_cu", 156),
            ("tuples_high", 172),
        ] {
            assert_eq!(at(name), offset, "{name}");
        }
    }
}
