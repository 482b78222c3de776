//! A service in this process, with the routes of its HTTP front end.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use greylist::{Client, HashKey, Query, Timestamp};
use http_body_util::BodyExt as _;
use serde_json::Value;
use store::disk::{Disk, SimulatedDisk};
use store::durable::{Opening, Settings};
use store::journal::SyncPolicy;
use store::text::{TextConfig, TextLog};
use store::{Bound, CompactConfig, CompactStore};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use xgrey::clock::Clock;
use xgrey::command::serve;
use xgrey::config::{Config, HttpListener, MadeUp, parse_text};
use xgrey::decision_log::{DecisionLog, Destination, Format};
use xgrey::http::{Desk, FrontEnd, FrontEndParts, Guarded, Places, Remembered, Shared, Sources};
use xgrey::listen::Connections;
use xgrey::log_sink::LogSink;
use xgrey::metrics::Metrics;
use xgrey::service::{Outcome, Scratch, Service};

use crate::described::assert_described;

/// The token of the listeners that have one.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct World {
    pub(crate) service: Arc<Service>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shared: Arc<Shared>,
    desk: Arc<Desk>,
    clock: Clock,
}

/// An answer that is as described.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A configuration, for a machine with a file that holds the token.
pub(crate) fn config(text: &str) -> Config {
    let token = ("/etc/xgrey/http.token".into(), format!("{TOKEN}\n").into_bytes());
    let machine = MadeUp { files: [token].into(), memory: Some(1 << 30), ..MadeUp::default() };
    let parsed = parse_text(text, "/etc/xgrey/xgrey.toml".as_ref(), &machine);
    parsed.unwrap_or_else(|report| panic!("{report:?}")).0
}

/// A front end of `service`, whose decisions nobody reads.
pub(crate) fn front_end(service: &Arc<Service>, metrics: &Arc<Metrics>, clock: Clock) -> FrontEnd {
    FrontEnd::new(FrontEndParts {
        service: Arc::clone(service),
        metrics: Arc::clone(metrics),
        number: 0,
        clock,
        decisions: DecisionLog::new(Destination {
            format: Format::Text,
            sink: LogSink::standard_error(Arc::clone(metrics)).unwrap(),
            enabled: Arc::new(AtomicBool::new(false)),
        }),
        faults: Arc::default(),
    })
}

impl World {
    /// With the listener and all else that `text` says.
    pub(crate) fn new(text: &str) -> Self {
        let config = config(&format!("{text}\n[[listen]]\nprotocol = \"http\"\n"));
        let listener = config.http[0].clone();
        Self::with(config, listener)
    }

    pub(crate) fn with(config: Config, listener: HttpListener) -> Self {
        let service = serve::service(config, HashKey::new([7; 16]));
        Self::of(service.unwrap_or_else(|_| panic!("no service")), listener)
    }

    /// With files, in a directory that goes away with the test's process.
    pub(crate) fn durable() -> Self {
        let config = config("[[listen]]\nprotocol = \"http\"");
        let listener = config.http[0].clone();
        let disk = Arc::new(SimulatedDisk::default());
        let opening = Opening {
            config: CompactConfig {
                timing: config.timing,
                bound: Bound::for_capacity(100_000),
                hash_key: HashKey::new([7; 16]),
            },
            disk: Arc::clone(&disk) as Arc<dyn Disk>,
            settings: Settings {
                sync: SyncPolicy::Never,
                segment_bytes: 1 << 20,
                snapshot_after: None,
            },
            prepare: Box::new(|| Ok(())),
            now: Clock::start().now(),
            threads: NonZeroUsize::MIN,
        };
        let store = CompactStore::open(opening, &|_| {}).unwrap().store;
        let texts = TextConfig { bytes_max: TextConfig::BYTES_MIN, key_fingerprint: 0 };
        let texts = Arc::new(TextLog::open(disk, texts).unwrap().0);
        Self::of(Service::new(config.into(), store).with_texts(texts), listener)
    }

    fn of(service: Service, listener: HttpListener) -> Self {
        let service = Arc::new(service);
        let metrics = Arc::new(Metrics::new(1));
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            is_stopping: AtomicBool::new(false),
            request_timeout_ms: AtomicU64::new(30_000),
            sources: Sources {
                service: Arc::clone(&service),
                metrics: Arc::clone(&metrics),
                connections: Arc::new(Connections::new(1)),
                places: Arc::new(Places::new(1)),
                responses: Arc::default(),
            },
            remembered: Remembered::default(),
            looks: Semaphore::new(1),
        });
        let front_end = front_end(&service, &metrics, clock);
        let listener = Arc::new(ArcSwap::from_pointee(listener));
        let desk = Arc::new(Desk::new(front_end, listener, Arc::clone(&shared)));
        Self { service, metrics, shared, desk, clock }
    }

    /// The service's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The answer to a request, which must be one that is described.
    pub(crate) fn send(&self, request: Request<Body>) -> Answered {
        let method = request.method().as_str().to_ascii_lowercase();
        let path = request.uri().path().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let desk = Arc::clone(&self.desk);
            let working = tokio::spawn(async move { desk.work().await });
            let guarded = Guarded::new(Arc::clone(&self.desk));
            let response = guarded.oneshot(request).await.unwrap();
            working.abort();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answered { status: head.status.as_u16(), headers: head.headers, body }
        });
        let kind = answered.headers["content-type"].to_str().unwrap();
        assert_described(&method, &path, answered.status, kind, &answered.body);
        answered
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap())
    }

    /// POST of something that is said to be JSON.
    pub(crate) fn post(&self, path: &str, body: impl Into<Body>) -> Answered {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap())
    }

    /// The answer to a question or a batch of them.
    pub(crate) fn check(&self, asked: &Value) -> Value {
        let answered = self.post("/v1/check", asked.to_string());
        assert_eq!(answered.status, 200, "{}", answered.text());
        answered.json()
    }

    /// What would have been answered `secs` ago, when it was asked.
    pub(crate) fn asked_before(&self, secs: u64, client: &str, sender: &str, recipient: &str) {
        let now = Timestamp::from_unix_secs(self.clock.now().as_unix_secs() - secs);
        let client = Client::new(client.parse().unwrap());
        let queries = [Query::new(client, sender.as_bytes(), recipient.as_bytes())];
        let (mut scratch, mut outcomes) = (Scratch::default(), Vec::<Outcome>::new());
        let policy = self.service.policy();
        let answer = self.service.answer(&policy, now, &queries, &mut scratch, &mut outcomes);
        xgrey::service::wait_for(answer);
    }
}
