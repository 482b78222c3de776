//! Table, journal and snapshots together, on a simulated disk.
