//! Reports that were asked for over UDP and not fetched over TCP yet (X-Grey v1.1 protocol, section 6).
//!
//! A client asks, gets the go-ahead, and connects from a port that has nothing to do with the one it asked
//! from: only its address tells who it is. So one report an address can be pending, as the original has
//! one in all; a second is refused until the first is fetched or given up. Two clients on one
//! host can't be told apart, and never get each other's report.

use std::net::IpAddr;

use greylist::{Secs, Timestamp};
use parking_lot::Mutex;
use wire::xgrey_v1::Report;

/// How long a report waits to be fetched.
const PATIENCE: Secs = Secs::new(10);

/// Addresses that may have a report pending. Clients connect at once, so that this many are as many that ask
/// within a moment.
const ADDRESSES_MAX: usize = 64;

/// The pending reports of one listener.
#[derive(Debug, Default)]
pub struct Pending {
    asked: Mutex<Vec<Asked>>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    from: IpAddr,
    report: Report,
    at: Timestamp,
}

/// Why a report can't be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// The same address has one pending.
    OnePending,
    /// So have too many others.
    TooMany,
}

impl Pending {
    /// Notes that `report` will be fetched from the address `from`.
    ///
    /// # Errors
    /// When that has to wait.
    pub fn ask(&self, from: IpAddr, report: Report, now: Timestamp) -> Result<(), NotNow> {
        let from = from.to_canonical();
        let mut asked = self.asked.lock();
        asked.retain(|asked| now.since(asked.at) <= PATIENCE);
        if asked.iter().any(|asked| asked.from == from) {
            return Err(NotNow::OnePending);
        }
        if asked.len() >= ADDRESSES_MAX {
            return Err(NotNow::TooMany);
        }
        asked.push(Asked { from, report, at: now });
        Ok(())
    }

    /// The report that the address `from` fetches; pending no more.
    pub fn take(&self, from: IpAddr, now: Timestamp) -> Option<Report> {
        let from = from.to_canonical();
        let mut asked = self.asked.lock();
        let at = asked
            .iter()
            .position(|asked| asked.from == from && now.since(asked.at) <= PATIENCE)?;
        Some(asked.swap_remove(at).report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_800_000_000 + secs)
    }

    #[test]
    fn a_report_is_fetched_once_by_whom_it_was_asked_for() {
        let pending = Pending::default();
        let there: IpAddr = "192.0.2.7".parse().unwrap();
        pending.ask(HERE, Report::To, at(0)).unwrap();
        pending.ask(there, Report::From, at(0)).unwrap();
        assert_eq!(pending.take(there, at(1)), Some(Report::From));
        assert_eq!(pending.take(there, at(1)), None);
        assert_eq!(pending.take(HERE, at(1)), Some(Report::To));
    }

    #[test]
    fn a_second_report_waits_until_the_first_is_fetched_or_given_up() {
        let pending = Pending::default();
        pending.ask(HERE, Report::To, at(0)).unwrap();
        assert_eq!(pending.ask(HERE, Report::From, at(10)), Err(NotNow::OnePending));
        assert_eq!(pending.ask(HERE, Report::From, at(11)), Ok(()));
        assert_eq!(pending.take(HERE, at(11)), Some(Report::From));
        assert_eq!(pending.ask(HERE, Report::IpList, at(11)), Ok(()));
        assert_eq!(pending.take(HERE, at(22)), None, "given up");
    }

    #[test]
    fn there_are_only_so_many() {
        let pending = Pending::default();
        for host in 0..64 {
            pending.ask([192, 0, 2, host].into(), Report::To, at(0)).unwrap();
        }
        assert_eq!(pending.ask(HERE, Report::To, at(0)), Err(NotNow::TooMany));
        assert_eq!(pending.ask(HERE, Report::To, at(11)), Ok(()));
    }
}
