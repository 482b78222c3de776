//! A disk of its own for a state directory: small, so that it can be filled, and only seen by those
//! who are inside, so that nothing of it stays whatever becomes of the test.

use std::fs;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

use crate::place::Place;
use crate::process::{Process, run};
use crate::server::Home;
use crate::wait::until;

/// What the namespace's first process does when all is mounted: it stays, and with it the mounts,
/// until its standard input ends.
const STAY: &str = "echo mounted; read -r _ || true";

/// A mounted disk.
pub(crate) struct SmallDisk {
    /// While this runs the mounts are there; and they end when its input does.
    holder: Process,
    _hold: ChildStdin,
    /// Where it is mounted, as seen from inside.
    mounted: PathBuf,
    /// For a server in the test's own folder.
    home: Home,
}

impl SmallDisk {
    /// A file system in memory with room for so many KiB.
    pub(crate) fn in_memory(place: &Place, kib: u32) -> Self {
        let mount = format!("mount -t tmpfs -o mode=755,size={kib}k tmpfs \"$1\"");
        Self::mounted_by(place, &mount)
    }

    /// A file system as most machines have, which turns read-only when an error is found in it.
    pub(crate) fn ext4(place: &Place) -> Self {
        let image = place.path("image");
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let made = run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        assert_eq!(made.code, Some(0), "{}", made.output);
        let mount = format!("mount -o loop,errors=remount-ro {} \"$1\"", image.display());
        Self::mounted_by(place, &mount)
    }

    fn mounted_by(place: &Place, mount: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts a disk of its own and needs root"
        );
        let mounted = place.make_folder("disk");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg(format!("{mount}; {STAY}"))
            .arg("small_disk")
            .arg(&mounted)
            .stdin(Stdio::piped());
        let mut holder = Process::start(&mut command, &place.path("disk.out"));
        let hold = holder.take_stdin().unwrap();
        until("a disk to be mounted", || {
            let output = holder.output();
            assert!(holder.ended().is_none(), "could not mount:\n{output}");
            output.contains("mounted").then_some(())
        });
        Self { holder, _hold: hold, mounted, home: Home::of(place) }
    }

    /// For a server whose state is on this disk.
    pub(crate) fn home(&self) -> Home {
        let state = self.mounted.join("state");
        Home { enter: self.enter(), state, ..self.home.clone() }
    }

    /// Something on the disk, as it is seen from outside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.mounted.strip_prefix("/").unwrap()).join(name)
    }

    /// Writes a file until there is no room for another byte.
    pub(crate) fn fill(&self) {
        // Ends badly: that is what it is for.
        run(Command::new("dd")
            .args(["if=/dev/zero", "bs=4k", "status=none"])
            .arg(format!("of={}", self.path("filler").display())));
        let free = rustix::fs::statvfs(self.path("")).unwrap().f_bavail;
        assert_eq!(free, 0, "blocks are left");
    }

    /// Removes what filled it.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }

    /// Makes it read-only, as an admin does; nobody may be writing.
    pub(crate) fn remount_read_only(&self) {
        self.run_inside("mount -o remount,ro \"$1\"");
    }

    /// Has the kernel find an error in it.
    pub(crate) fn break_ext4(&self) {
        self.run_inside(
            "device=$(findmnt -no SOURCE \"$1\")\n\
             echo 1 > \"/sys/fs/ext4/${device#/dev/}/trigger_fs_error\"",
        );
    }

    /// Puts another, empty disk in its place.
    pub(crate) fn replace(&self) {
        self.run_inside("umount --lazy \"$1\"\nmount -t tmpfs -o mode=755,size=32m tmpfs \"$1\"");
    }

    fn run_inside(&self, script: &str) {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).args(["sh", "-ec", script, "small_disk"]).arg(&self.mounted);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{script}:\n{}", ended.output);
    }

    fn enter(&self) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        vec!["nsenter".to_owned(), namespace, "--".to_owned()]
    }
}
