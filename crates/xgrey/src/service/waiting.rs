//! Waiting for the service from a thread that has nothing else to do.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future to its end. The compact store's is ready at once and needs no waker; for one
/// that is not, the thread waits, and what comes meanwhile makes the next batch.
pub fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => pollster::block_on(future),
    }
}
