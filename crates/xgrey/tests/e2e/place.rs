//! A place of its own for each test: a folder, a loopback address, ports that nobody else takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::{fs, process};

use tempfile::TempDir;

/// The first port handed out; below the range from which the kernel picks for outgoing
/// connections (32,768 and up).
const PORT_FIRST: u16 = 20_000;

/// A folder and an address. The folder goes when this does.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// A new folder under `/tmp`: not under the target folder, since a mail server's namespace
    /// shares `/tmp` with us and hides every other change behind its overlay.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("xg-e2e.").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// Something in the folder, which need not exist yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder in the folder.
    pub(crate) fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file in the folder with that text in it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// An address and port that nothing else uses. All of 127.0.0.0/8 is this host, and process
    /// ids are below 2²², so each process has an address of its own: 127.64.0.0 plus its id.
    /// Within the process the ports count up. No port is tried, let go and taken again, so
    /// parallel tests cannot take each other's.
    pub(crate) fn address() -> SocketAddr {
        static NEXT: AtomicU16 = AtomicU16::new(PORT_FIRST);
        let [_, high, middle, low] = process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 64 + high, middle, low);
        SocketAddr::from((ip, NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}
