//! The server under test: everything behind the sockets, in a time of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use greylist::{HashKey, Secs, Timestamp};
use store::disk::RealDisk;
use store::durable::{Opening, Settings};
use store::journal::SyncPolicy;
use store::text::{TextConfig, TextLog};
use store::{CompactConfig, CompactStore};
use tempfile::TempDir;
use wire::xgrey_v1::Report;
use xgrey::config::{Config, MadeUp, TableBound, XGreyListener, parse_text};
use xgrey::decision_log::{DecisionLog, Destination, Format};
use xgrey::fault_log::FaultLog;
use xgrey::listen::{Answers, Datagram};
use xgrey::log_sink::LogSink;
use xgrey::metrics::Metrics;
use xgrey::service::Service;
use xgrey::xgrey_v1::{FrontEnd, Parts, Pending, REPORT_BYTES_MAX, write_report};

/// Who asks.
pub(crate) const ASKER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), 40_000);

/// A server, its state directory, its time.
pub(crate) struct Server {
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener: Arc<ArcSwap<XGreyListener>>,
    pub(crate) pending: Arc<Pending>,
    front_end: FrontEnd,
    answers: Answers,
    now: Timestamp,
    config: String,
    dir: TempDir,
}

impl Server {
    /// One with an empty state directory, and these lines of configuration besides the profile.
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::in_dir(dir, config.to_owned(), Timestamp::from_unix_secs(1_800_000_000))
    }

    fn in_dir(dir: TempDir, config: String, now: Timestamp) -> Self {
        let text = format!("profile = \"x-grey\"\n{config}\n");
        let parsed = parse_text(&text, Path::new("xgrey.toml"), &MadeUp::default());
        let (parsed, _) =
            parsed.unwrap_or_else(|report| panic!("{}", report.render(xgrey::config::Look::Plain)));
        let listener = parsed.x_grey[0].clone();
        let service = Arc::new(service(parsed, &dir, now));
        let metrics = Arc::new(Metrics::new(1));
        metrics.begin(now, service.store(), 1).unwrap();
        let listener = Arc::new(ArcSwap::from_pointee(listener));
        let pending = Arc::new(Pending::default());
        let front_end = FrontEnd::new(Parts {
            number: 0,
            service: Arc::clone(&service),
            metrics: Arc::clone(&metrics),
            decisions: DecisionLog::new(nowhere(&metrics)),
            listener: Arc::clone(&listener),
            pending: Arc::clone(&pending),
            faults: Arc::new(FaultLog::default()),
        });
        let answers = Answers::default();
        Self { service, metrics, listener, pending, front_end, answers, now, config, dir }
    }

    /// The same state directory, as after a `kill -9`.
    pub(crate) fn killed_and_started_again(self) -> Self {
        let Self { dir, config, now, service, front_end, metrics, .. } = self;
        // As each quarter of a second.
        service.texts().unwrap().flush();
        drop((front_end, metrics, service));
        Self::in_dir(dir, config, now)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass, second by second as the service does.
    pub(crate) fn wait(&mut self, secs: u32) {
        for _ in 0..secs {
            self.now = self.now.after(Secs::new(1));
            self.service.store().sweep_some(self.now);
            self.metrics.tick(self.now, self.service.store());
        }
    }

    /// Lets time pass at once, with nothing done meanwhile.
    pub(crate) fn skip(&mut self, secs: u32) {
        self.now = self.now.after(Secs::new(secs));
    }

    /// What is answered to one datagram.
    pub(crate) fn ask(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.ask_from(ASKER, datagram)
    }

    /// The same, for another asker.
    pub(crate) fn ask_from(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let batch = [Datagram { from, bytes: datagram }];
        self.front_end.answer(self.now, &batch, &mut self.answers);
        let answered: Vec<_> = self.answers.iter().collect();
        match answered[..] {
            [] => None,
            [(0, answer)] => Some(answer.to_vec()),
            _ => panic!("more than one answer: {answered:?}"),
        }
    }

    /// What is answered to many at once: one answer each.
    pub(crate) fn ask_all(&mut self, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let batch: Vec<_> =
            datagrams.iter().map(|datagram| Datagram { from: ASKER, bytes: datagram }).collect();
        self.front_end.answer(self.now, &batch, &mut self.answers);
        let mut answered = vec![Vec::new(); datagrams.len()];
        for (number, answer) in self.answers.iter() {
            assert!(answered[number].is_empty(), "two answers to one datagram");
            answered[number] = answer.to_vec();
        }
        answered
    }

    /// What comes over TCP: the report that was asked for, or nothing.
    pub(crate) fn fetch(&mut self) -> Vec<u8> {
        let report = self.pending.take(ASKER.ip(), self.now);
        report.map_or_else(Vec::new, |report| self.report(report))
    }

    pub(crate) fn report(&self, report: Report) -> Vec<u8> {
        self.report_in(report, REPORT_BYTES_MAX)
    }

    /// The same, holding so many bytes of it at once.
    pub(crate) fn report_in(&self, report: Report, bytes_max: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut give = |lines: &[u8]| {
            text.extend_from_slice(lines);
            ControlFlow::Continue(())
        };
        write_report(&self.service, || self.now, report, bytes_max, &mut give).unwrap();
        text
    }
}

/// A service whose files are in `dir`.
fn service(config: Config, dir: &TempDir, now: Timestamp) -> Service {
    let TableBound::Memory(bytes) = config.bound else { panic!("give it a memory") };
    let disk = Arc::new(RealDisk::new(dir.path().to_owned()));
    let hash_key = HashKey::new([7; 16]);
    let texts =
        TextConfig { bytes_max: TextConfig::BYTES_MIN, key_fingerprint: hash_key.fingerprint() };
    let texts = Arc::new(TextLog::open(Arc::<RealDisk>::clone(&disk), texts).unwrap().0);
    let opening = Opening {
        config: CompactConfig {
            timing: config.timing,
            bound: store::Bound::new(bytes.0).unwrap(),
            hash_key,
        },
        disk,
        settings: Settings {
            sync: SyncPolicy::Never,
            segment_bytes: 64 << 20,
            snapshot_after: None,
        },
        prepare: Box::new(|| Ok(())),
        now,
        threads: NonZeroUsize::MIN,
    };
    let opened = CompactStore::open(opening, &|_| {}).unwrap();
    Service::new(config.into(), opened.store).with_texts(texts)
}

/// Decisions are logged by nobody.
fn nowhere(metrics: &Arc<Metrics>) -> Destination {
    Destination {
        format: Format::Text,
        sink: LogSink::standard_error(Arc::clone(metrics)).unwrap(),
        enabled: Arc::new(AtomicBool::new(false)),
    }
}
