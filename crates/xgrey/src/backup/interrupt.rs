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
        Self::watch_for(&[SignalKind::interrupt(), SignalKind::terminate()])
    }

    /// The same, for SIGINT alone: where the process goes on after it, SIGTERM is to end it.
    ///
    /// # Errors
    /// Likewise.
    pub fn watch_keyboard() -> io::Result<Self> {
        Self::watch_for(&[SignalKind::interrupt()])
    }

    /// One that never comes.
    pub fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    fn watch_for(kinds: &[SignalKind]) -> io::Result<Self> {
        let interrupt = Self::never();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let signals = {
            let _inside = runtime.enter();
            kinds.iter().map(|&kind| signal(kind)).collect::<io::Result<Vec<_>>>()?
        };
        let came = interrupt.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let each = signals.into_iter().map(|mut signal| {
                let came = came.clone();
                async move {
                    while signal.recv().await.is_some() {
                        if came.0.swap(true, Relaxed) {
                            std::process::exit(EXIT_CODE);
                        }
                    }
                }
            });
            let tasks = tokio::task::LocalSet::new();
            each.for_each(|watch| drop(tasks.spawn_local(watch)));
            runtime.block_on(tasks);
        })?;
        Ok(interrupt)
    }

    /// As if it had not come: what it was meant for is over.
    pub fn forget(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        self.0.load(Relaxed)
    }
}
