//! A service and its counters over a directory, at the times that it is told.

use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use greylist::rules::{Origin, Pattern, RuleSetBuilder};
use greylist::{Client, HashKey, Query, Timestamp, Trust};
use store::disk::RealDisk;
use store::durable::{Opening, Settings};
use store::journal::SyncPolicy;
use store::{Bound, CompactConfig, CompactStore};
use tempfile::TempDir;
use xgrey::config::{MadeUp, parse_text};
use xgrey::metrics::{Hand, Look, Metrics, Totals, XGreyStats};
use xgrey::service::{ListsAsked, Outcome, Policy, Scratch, Service};

use super::script::{Action, Deed, Mail, RULES};

/// The start of an hour.
const START: u64 = 1_800_000_000;

/// The time of a second of the day.
pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_secs(START + second)
}

/// How a run ends, and for how many seconds nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Stop { down: u64 },
    Kill { down: u64 },
}

impl Restart {
    pub(crate) fn down(self) -> u64 {
        match self {
            Self::Stop { down } | Self::Kill { down } => down,
        }
    }
}

/// When what has expired, and is read at a start, is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    AtOnce,
    Later,
}

/// A run of a service.
pub(crate) struct World {
    dir: TempDir,
    service: Service,
    metrics: Metrics,
    begun: u64,
    scratch: Scratch,
    outcomes: Vec<Outcome>,
}

impl World {
    pub(crate) fn start(second: u64) -> Self {
        Self::open(tempfile::tempdir().unwrap(), second, Swept::Later)
    }

    /// Ends the run, and begins another.
    pub(crate) fn restart(self, how: Restart, second: u64) -> Self {
        let Self { dir, service, metrics, .. } = self;
        let swept = match how {
            Restart::Stop { down } => {
                metrics.keep(at(second - down), service.store()).unwrap();
                Swept::Later
            }
            // X-Grey's lowest and highest number of tuples since then will be compared: without those
            // that have expired and are read all the same.
            Restart::Kill { .. } => Swept::AtOnce,
        };
        drop((service, metrics));
        Self::open(dir, second, swept)
    }

    fn open(dir: TempDir, second: u64, swept: Swept) -> Self {
        let policy = policy();
        let store = store(dir.path(), &policy, second);
        let metrics = Metrics::new(2);
        if swept == Swept::AtOnce {
            store.sweep_all(at(second));
        }
        metrics.begin(at(second), &store, second).unwrap();
        Self {
            dir,
            service: Service::new(policy, store),
            metrics,
            begun: second,
            scratch: Scratch::default(),
            outcomes: Vec::new(),
        }
    }

    /// What is done each second. All is swept before tuples are counted.
    pub(crate) fn tick(&self, second: u64) {
        let store = self.service.store();
        if (second - self.begun).is_multiple_of(10) || second > self.begun + 10 * 86_400 {
            store.sweep_all(at(second));
        }
        self.metrics.tick(at(second), store);
    }

    pub(crate) fn keep(&self, second: u64) {
        self.metrics.keep(at(second), self.service.store()).unwrap();
    }

    /// Does it, and checks what comes of it.
    pub(crate) fn act(&mut self, action: &Action) {
        let now = at(action.at);
        let query = query(&action.mail);
        match &action.deed {
            Deed::Ask { answer, .. } => {
                self.ask(now, &query);
                let came = self.outcomes[0].answer;
                assert_eq!((came.action(), came.reason()), *answer, "{action:?}");
            }
            Deed::Hand(hand) => {
                assert_eq!(self.by_hand(now, &query, *hand), *hand, "{action:?}");
                self.metrics.outside().hand(*hand, 1);
            }
            Deed::AskToPass(hand) => {
                let lists = ListsAsked::of(&self.service.policy().rules.judge(&query));
                let before = ready(self.service.pass_tuple(now, &query)).unwrap().before;
                assert_eq!(Hand::passed(&before), *hand, "{action:?}");
                self.metrics.worker(1).asked_to_pass(now, lists, &before);
            }
        }
    }

    /// One worker after the other.
    fn ask(&mut self, now: Timestamp, query: &Query<'_>) {
        let Self { service, scratch, outcomes, .. } = self;
        let policy = service.policy();
        ready(service.answer(&policy, now, &[*query], scratch, outcomes));
        let worker = usize::from(now.as_unix_secs().is_multiple_of(2));
        self.metrics.worker(worker).outcomes(now, outcomes);
    }

    fn by_hand(&self, now: Timestamp, query: &Query<'_>, hand: Hand) -> Hand {
        match hand {
            Hand::PassedUnknown | Hand::PassedGrey | Hand::PassedWhite => {
                Hand::passed(&ready(self.service.pass_tuple(now, query)).unwrap().before)
            }
            _ => Hand::forgotten(&ready(self.service.forget_tuple(now, query)).unwrap().before),
        }
    }

    pub(crate) fn look(&self, second: u64) -> Look {
        self.metrics.look(at(second), self.service.store())
    }

    /// What was counted since ever.
    pub(crate) fn ever(&self, second: u64) -> Totals {
        self.metrics.ever(self.service.store(), &self.look(second)).totals
    }

    pub(crate) fn x_grey(&self, second: u64) -> XGreyStats {
        self.look(second).x_grey(&self.service.policy().rules)
    }
}

/// X-Grey's times and tuples, and the script's rules.
fn policy() -> Policy {
    let text = "profile = \"x-grey\"\nexempt_local = true\nexempt_recipients = [\"postmaster@\", \"abuse@\"]";
    let (config, _) = parse_text(text, Path::new("xgrey.toml"), &MadeUp::default()).unwrap();
    let mut builder = RuleSetBuilder::new();
    let source = builder.source("script");
    for (line, (list, pattern, verdict)) in (1..).zip(RULES) {
        builder.add(verdict, Pattern::parse(list, pattern).unwrap(), Origin { source, line });
    }
    Policy { rules: builder.build(), ..config.into() }
}

fn store(dir: &Path, policy: &Policy, second: u64) -> CompactStore {
    let opening = Opening {
        config: CompactConfig {
            timing: policy.timing,
            bound: Bound::new(Bound::BYTES_MIN).unwrap(),
            hash_key: HashKey::new([7; 16]),
        },
        disk: Arc::new(RealDisk::new(dir.to_owned())),
        settings: Settings {
            sync: SyncPolicy::Never,
            segment_bytes: 1 << 20,
            snapshot_after: None,
        },
        prepare: Box::new(|| Ok(())),
        now: at(second),
        threads: NonZeroUsize::MIN,
    };
    CompactStore::open(opening, &|_| {}).unwrap().store
}

fn query(mail: &Mail) -> Query<'_> {
    let client = Client::new(mail.client.parse().unwrap());
    Query {
        client_name: mail.client_name.map(str::as_bytes),
        trust: if mail.login { Trust::Authenticated } else { Trust::Stranger },
        ..Query::new(client, mail.sender.as_bytes(), mail.recipient.as_bytes())
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the table answers at once"),
    }
}
