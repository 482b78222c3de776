//! Prints what it costs to keep texts, to write them, to list them and to sift them:
//! `cargo run --release -p store --example text_speed`. Files go to a folder of their own in the
//! temporary directory, or in the directory given. Rates of appending are for each second of this
//! thread's CPU time, the others for each second that passes.
