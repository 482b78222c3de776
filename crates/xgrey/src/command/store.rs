//! `xgrey store verify` and `xgrey store info`: what the files of a state directory hold. Nothing is
//! changed, so both may be used beside a running service.

mod info;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use greylist::HashKey;
use store::disk::{Disk, RealDisk};

use super::Failure;
use crate::cli::{StoreArgs, StoreCommand};
use crate::listen::Holder;
use crate::state_dir::{self, Environment};

/// Looks and prints.
pub fn run(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Verify(args) => verify::run(args),
        StoreCommand::Info(args) => info::run(args),
    }
}

/// A state directory to be looked at.
struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Who has it.
    holder: Option<Holder>,
    /// What its tuples are hashed with; none if the file is missing.
    hash_key: Option<HashKey>,
}

impl Directory {
    fn open(args: &StoreArgs) -> Result<Self, Failure> {
        let path = args.state.clone().unwrap_or_else(|| Environment::of_this_process().state());
        let failed = |what: &str, error: &std::io::Error| {
            Failure::Failed(format!(
                "cannot read {what} in {}: {error}; name the state directory with --state, and be \
                 root or the user that xgrey runs as",
                path.display()
            ))
        };
        if let Err(error) = std::fs::read_dir(&path) {
            return Err(failed("the files", &error));
        }
        let hash_key = match std::fs::read(path.join("hash-key")) {
            Ok(bytes) => {
                let key = <[u8; 16]>::try_from(bytes.as_slice()).map(HashKey::new);
                Some(key.map_err(|_| {
                    Failure::Failed(format!(
                        "{}/hash-key should be 16 bytes and is {}: restore it from a backup",
                        path.display(),
                        bytes.len()
                    ))
                })?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("the hash key", &error)),
        };
        let disk = Arc::new(RealDisk::new(path.clone()));
        let holder = state_dir::holder(&path);
        Ok(Self { path, disk, holder, hash_key })
    }
}
