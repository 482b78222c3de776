//! A service in this process, behind a control socket.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use xgrey::clock::{self, Clock};
use xgrey::control::server::{Control, bind, serve};
use xgrey::listen::Connections;
use xgrey::metrics::Metrics;
use xgrey::service::Service;

/// Serves it at `socket` from another thread, until the test's process ends. On return it listens.
pub(crate) fn serve_at(socket: PathBuf, service: Arc<Service>, clock: Clock) {
    let control = Control {
        service,
        metrics: Arc::new(Metrics::new(1)),
        connections: Arc::new(Connections::new(1)),
        clock,
        started: clock::boot(),
        reloads: mpsc::channel(1).0,
    };
    let (ready, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let socket = bind(&socket).unwrap();
            ready.send(()).unwrap();
            serve(socket, Arc::new(control)).await;
        });
    });
    bound.recv().unwrap();
}
