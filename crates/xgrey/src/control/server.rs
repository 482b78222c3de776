//! Answering admins on the control socket.

mod backup;
mod disk;
mod rules;
mod stats;
mod tuples;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greylist::{Client, Query};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::stream::{PATIENCE, write_patiently};
use super::{Answered, LINE_BYTES_MAX, Question, Reloaded, Reply, Request};
use crate::clock::Clock;
use crate::config::ListenAddress;
use crate::listen::{BindError, Connections, Socket};
use crate::metrics::Metrics;
use crate::service::Service;

/// Admins at once.
const CONNECTIONS_MAX: usize = 16;

/// A wish for the configuration to be taken anew; whoever runs the service says what came of it.
pub type ReloadWish = oneshot::Sender<Result<Reloaded, String>>;

/// What the control socket tells about and acts on.
#[derive(Debug)]
pub struct Control {
    /// Asked for explanations and rules.
    pub service: Arc<Service>,
    /// Asked for counts.
    pub metrics: Arc<Metrics>,
    /// Asked for their number.
    pub connections: Arc<Connections>,
    /// The service's time.
    pub clock: Clock,
    /// When the service started, on the boot clock.
    pub started: Duration,
    /// Where wishes for a reload go.
    pub reloads: mpsc::Sender<ReloadWish>,
}

/// Listens on `path`, for its owner only.
///
/// # Errors
/// When another process listens there, or the kernel refuses.
pub fn bind(path: &Path) -> Result<Socket, BindError> {
    Socket::bind(&ListenAddress::Unix { path: path.to_owned(), mode: Some(0o600), owner: None })
}

/// Serves for ever; ends only by being aborted.
pub async fn serve(socket: Socket, control: Arc<Control>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.accept_unix().await {
            Ok(stream) => {
                let control = Arc::clone(&control);
                tokio::spawn(async move {
                    if let Err(error) = talk(stream, &control).await {
                        tracing::debug!(target: "control", %error, "connection broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(target: "control", %error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One line in, one or many lines out, until the admin leaves or asks nothing for a while.
async fn talk(stream: UnixStream, control: &Control) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let allowed = is_allowed(uid);
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        let mut limited = (&mut stream).take(LINE_BYTES_MAX);
        match tokio::time::timeout(PATIENCE, limited.read_line(&mut line)).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
        let answered = match (allowed, serde_json::from_str(&line)) {
            (false, _) => Err("only root and xgrey's own user may ask".to_owned()),
            (true, Err(error)) => Err(format!("not a request: {error}")),
            (true, Ok(Request::Tuples(wanted))) => match wanted.filter() {
                Ok((filter, extent)) => {
                    control.list_tuples(&mut stream, filter, extent).await?;
                    continue;
                }
                Err(why) => Err(why),
            },
            (true, Ok(Request::Export(wanted))) => match wanted.after {
                Some(mark) if !mark.is_possible() => Err("there is no such mark".to_owned()),
                after => {
                    control.export(&mut stream, after).await?;
                    continue;
                }
            },
            (true, Ok(Request::Import(offered))) => {
                control.import(&mut stream, &offered).await?;
                continue;
            }
            (true, Ok(Request::Rules(wanted))) => {
                control.list_rules(&mut stream, wanted).await?;
                continue;
            }
            (true, Ok(request)) => control.answer(uid, request).await,
        };
        let reply = match answered {
            Ok(answered) => Reply::Ok(answered),
            Err(why) => Reply::Error(why),
        };
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        write_patiently(&mut stream, text.as_bytes()).await?;
    }
}

/// The socket's mode keeps others out; this is the second lock.
fn is_allowed(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

impl Control {
    /// What the user `uid` asked for, if that is said in one line.
    async fn answer(&self, uid: u32, request: Request) -> Result<Answered, String> {
        match request {
            Request::Stats => Ok(Answered::Stats(self.stats())),
            Request::ChangeRules(wanted) => {
                self.change_rules(uid, &wanted).map(Answered::RulesChanged)
            }
            Request::Reload => self.reload().await.map(Answered::Reload),
            Request::Explain(question) => {
                let now = self.clock.now();
                let explained = explain(&self.service, &question, now).await;
                explained.map(Answered::Explain)
            }
            Request::ShowTuple(named) => self.show_tuple(&named).await.map(Answered::Shown),
            Request::ForgetTuple(named) => self.forget_tuple(&named).await.map(Answered::Changed),
            Request::PassTuple(named) => self.pass_tuple(&named).await.map(Answered::Changed),
            // A stream: see `talk`.
            Request::Rules(_)
            | Request::Tuples(_)
            | Request::Export(_)
            | Request::Import(_) => {
                Err("this can't be answered in one line".to_owned())
            }
        }
    }

    async fn reload(&self) -> Result<Reloaded, String> {
        let (wish, outcome) = oneshot::channel();
        let stopping = || "the service is stopping".to_owned();
        self.reloads.send(wish).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }
}

/// Explains a question as an admin asks it: by a stranger, at RCPT.
///
/// # Errors
/// When the store can't be asked; in words.
pub async fn explain(
    service: &Service,
    question: &Question,
    now: greylist::Timestamp,
) -> Result<crate::service::Explanation, String> {
    let query = Query {
        client_name: question.client_name.as_deref().map(str::as_bytes),
        ..Query::new(
            Client::new(question.client),
            question.sender.as_bytes(),
            question.recipient.as_bytes(),
        )
    };
    service.explain(now, &query).await.map_err(|error| format!("the store can't be asked: {error}"))
}
