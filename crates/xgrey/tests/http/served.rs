//! Over a socket: what connections, time and the end of the service do.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;
use xgrey::clock::Clock;
use xgrey::config::{HttpListener, ListenAddress};
use xgrey::http::{Parts, Server};
use xgrey::listen::Socket;
use xgrey::metrics::Event;

use crate::world::{World, front_end};

const QUESTION: &str =
    r#"{"client":"192.0.2.7","sender":"alice@example.net","recipient":"bob@example.org"}"#;

/// A server on a UNIX socket, with one thread.
struct Served {
    dir: tempfile::TempDir,
    world: World,
    stop: Option<oneshot::Sender<Duration>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    /// With room for so many connections, where a request may take so long to come.
    fn start(connections: usize, request_timeout: Duration) -> Self {
        let world = World::new("");
        let dir = tempfile::tempdir().unwrap();
        world.shared.request_timeout_ms.store(request_timeout.as_millis() as u64, Relaxed);
        world.shared.sources.places.set_max(connections);
        let address =
            ListenAddress::Unix { path: dir.path().join("http"), mode: None, owner: None };
        let wanted = HttpListener { address, ..HttpListener::default() };
        let parts = Parts {
            shared: Arc::clone(&world.shared),
            places: Arc::clone(&world.shared.sources.places),
            metrics: Arc::clone(&world.metrics),
            front_ends: vec![front_end(&world.service, &world.metrics, Clock::start())],
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let socket = Socket::bind(&wanted.address).unwrap();
                let server = Server::start(socket, wanted, parts).unwrap();
                ready.send(()).unwrap();
                server.stop(stopped.await.unwrap()).await;
            });
        });
        is_ready.recv().unwrap();
        Self { dir, world, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("http")).unwrap()
    }

    /// Tells it to stop; what is under way may take so long.
    fn stop(&mut self, drain: Duration) {
        self.stop.take().unwrap().send(drain).unwrap();
    }

    /// Waits until it has stopped.
    fn wait(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A question, as a request that leaves the connection open.
fn request(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// The next answer on a connection: its head and its body.
fn answer(stream: &mut UnixStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn many_requests_go_over_one_connection_also_before_their_answers_are_read() {
    let served = Served::start(10, LONG);
    let mut stream = served.connect();
    for _ in 0..3 {
        stream.write_all(request(QUESTION).repeat(2).as_bytes()).unwrap();
        for _ in 0..2 {
            let (head, body) = answer(&mut stream);
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert!(body.contains("Greylisted"), "{body}");
        }
    }
}

#[test]
fn a_body_may_come_in_chunks_and_byte_by_byte() {
    let served = Served::start(10, LONG);
    let mut stream = served.connect();
    let head = "POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let (one, other) = QUESTION.split_at(20);
    let text =
        format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", one.len(), other.len());
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(answer(&mut stream).1.contains("Greylisted"));
}

#[test]
fn what_is_under_way_when_the_service_stops_is_answered_and_what_is_idle_is_closed() {
    let mut served = Served::start(10, LONG);
    let (mut idle, mut busy) = (served.connect(), served.connect());
    idle.write_all(request(QUESTION).as_bytes()).unwrap();
    answer(&mut idle);
    // Its head has come when it is told to go on.
    let text = request(QUESTION).replace("Host", "Expect: 100-continue\r\nHost");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    busy.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    assert!(answer(&mut busy).0.starts_with("http/1.1 100 "));
    served.stop(LONG);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "closed");
    busy.write_all(body.as_bytes()).unwrap();
    let (head, body) = answer(&mut busy);
    assert!(head.contains("connection: close") && body.contains("early"), "{head}{body}");
    assert_eq!(busy.read(&mut [0]).unwrap(), 0, "closed");
    served.wait();
    assert!(UnixStream::connect(served.dir.path().join("http")).is_err());
    let metrics = &served.world.metrics;
    assert_eq!(metrics.event(Event::Connected), metrics.event(Event::Disconnected));
}

#[test]
fn what_takes_too_long_when_the_service_stops_is_cut() {
    let mut served = Served::start(10, LONG);
    let mut busy = served.connect();
    let text = request(QUESTION).replace("Host", "Expect: 100-continue\r\nHost");
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    busy.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    answer(&mut busy);
    served.stop(Duration::from_millis(1));
    served.wait();
    assert_eq!(busy.read(&mut [0]).unwrap_or(0), 0, "closed");
}

#[test]
fn a_request_that_does_not_go_on_is_given_up() {
    let served = Served::start(10, Duration::from_millis(50));
    // In the head.
    let mut stream = served.connect();
    stream.write_all(b"POST /v1/check HTTP/1.1\r\nHost: ").unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    // In the body.
    let mut stream = served.connect();
    let text = request(QUESTION);
    stream.write_all(&text.as_bytes()[..text.len() - 1]).unwrap();
    assert!(answer(&mut stream).0.starts_with("http/1.1 408 "));
    // Before the next request.
    let mut stream = served.connect();
    stream.write_all(text.as_bytes()).unwrap();
    answer(&mut stream);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
}

#[test]
fn one_connection_too_many_is_closed_and_counted() {
    let served = Served::start(1, LONG);
    let mut first = served.connect();
    first.write_all(request(QUESTION).as_bytes()).unwrap();
    answer(&mut first);
    let mut second = served.connect();
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0, "closed");
    assert_eq!(served.world.metrics.event(Event::TooMany), 1);
    first.write_all(request(QUESTION).as_bytes()).unwrap();
    assert!(answer(&mut first).1.contains("early"));
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let served = Served::start(10, LONG);
    let mut stream = served.connect();
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "x".repeat(20_000));
    // It may be closed before all is written.
    let _ = stream.write_all(long.as_bytes());
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431 "), "{said:?}");
}
