//! Stopping at a good place: the first Ctrl-C asks for it, the second one ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a process that SIGINT has ended.
const EXIT_CODE: i32 = 130;

/// Whether it was asked for.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on, in a thread of its own. At the second of them the
    /// process ends.
    ///
    /// # Errors
    /// When the kernel gives no thread, or no signals.
    pub fn watch() -> io::Result<Self> {
        let interrupt = Self(Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut int, mut term) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let came = interrupt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                    }
                    if came.0.swap(true, Relaxed) {
                        std::process::exit(EXIT_CODE);
                    }
                }
            });
        })?;
        Ok(interrupt)
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        self.0.load(Relaxed)
    }
}
