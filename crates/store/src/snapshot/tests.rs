//! Snapshots as a whole.
