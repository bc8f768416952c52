//! Where servers run: a network namespace each, all at one bridge, and a small file system each. All of it belongs to the
//! test's thread alone, so it is gone when the thread is, whatever happened.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// The first three bytes of every address; nobody else is in these namespaces.
const NETWORK: &str = "10.99.0";
/// Bytes of a server's file system.
const DISK: u64 = 96 << 20;
/// Files it may have.
const FILES: u64 = 256;

/// The bridge, and the folder under which the servers' file systems are mounted.
pub(crate) struct Field {
    folder: TempDir,
}

/// One server's place: its namespace, its address, its disk.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) number: u8,
    pub(crate) folder: PathBuf,
}

/// Which messages between two servers get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All packets.
    All,
    /// Calls that others make to the peer port; their answers to calls from here arrive.
    CallsToHere,
}

/// Runs a program, which must succeed.
pub(crate) fn succeed(words: &[&str]) -> String {
    let (program, rest) = words.split_first().unwrap();
    let done = Command::new(program).args(rest).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}: {said}", words.join(" "));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl Field {
    /// Moves this thread, and what it starts, into namespaces of its own.
    pub(crate) fn enter() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // Names of namespaces are files: these are seen by nobody else.
        std::fs::create_dir_all("/run/netns").unwrap();
        mount(Some("floe"), "/run/netns", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let folder = tempfile::Builder::new().prefix("floe-faults-").tempdir().unwrap();
        mount(Some("floe"), folder.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
        succeed(&["ip", "link", "set", "lo", "up"]);
        succeed(&["ip", "link", "add", "flb-bridge", "type", "bridge"]);
        succeed(&[
            "ip",
            "address",
            "add",
            &format!("{NETWORK}.254/24"),
            "dev",
            "flb-bridge",
        ]);
        succeed(&["ip", "link", "set", "flb-bridge", "up"]);
        Self { folder }
    }

    /// A place for the server `number`, with an empty disk.
    pub(crate) fn place(&self, number: u8) -> Place {
        let folder = self.folder.path().join(number.to_string());
        let disk = folder.join("disk");
        std::fs::create_dir_all(&disk).unwrap();
        let options = format!("size={DISK},nr_inodes={FILES},mode=700");
        mount(
            Some("floe"),
            &disk,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        let place = Place { number, folder };
        place.connect();
        place
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // Everything else goes with the namespaces; the folder itself is the host's.
        let folder = self.folder.path();
        let left = nix::mount::umount2(folder, nix::mount::MntFlags::MNT_DETACH);
        assert!(left.is_ok() || std::thread::panicking(), "{left:?}");
    }
}

impl Place {
    fn connect(&self) {
        let (name, link) = (self.name(), format!("flb-{}", self.number));
        succeed(&["ip", "netns", "add", &name]);
        succeed(&[
            "ip", "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name,
        ]);
        succeed(&["ip", "link", "set", &link, "master", "flb-bridge", "up"]);
        self.succeed(&["ip", "link", "set", "lo", "up"]);
        self.succeed(&[
            "ip",
            "address",
            "add",
            &format!("{}/24", self.address()),
            "dev",
            "eth0",
        ]);
        self.succeed(&["ip", "link", "set", "eth0", "up"]);
        self.succeed(&["nft", "add table inet floe-test"]);
        self.succeed(&[
            "nft",
            "add chain inet floe-test in { type filter hook input priority 0; }",
        ]);
        self.succeed(&[
            "nft",
            "add chain inet floe-test out { type filter hook output priority 0; }",
        ]);
    }

    /// The name of its namespace.
    pub(crate) fn name(&self) -> String {
        format!("floe-{}", self.number)
    }

    pub(crate) fn address(&self) -> String {
        format!("{NETWORK}.{}", self.number)
    }

    /// Where the server keeps its state.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Runs a program in the namespace.
    fn succeed(&self, words: &[&str]) -> String {
        succeed(&[&["ip", "netns", "exec", &self.name()], words].concat())
    }

    /// Loses messages from `others` from now on.
    pub(crate) fn lose(&self, loss: Loss, others: &[&Self]) {
        for other in others {
            let address = other.address();
            match loss {
                Loss::All => {
                    self.rule("in", &format!("ip saddr {address} drop"));
                    self.rule("out", &format!("ip daddr {address} drop"));
                }
                Loss::CallsToHere => self.rule("in", &format!("ip saddr {address} tcp dport 6444 drop")),
            }
        }
    }

    fn rule(&self, chain: &str, rule: &str) {
        self.succeed(&["nft", &format!("add rule inet floe-test {chain} {rule}")]);
    }

    /// Loses nothing any more.
    pub(crate) fn lose_nothing(&self) {
        self.succeed(&["nft", "flush table inet floe-test"]);
    }

    /// Takes all space that is left on the disk.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let piece = vec![1; 64 << 10];
        while filler.write_all(&piece).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
    }

    /// Takes all files that are left, and no space to speak of: nothing can be created, though there is space.
    pub(crate) fn take_all_files(&self) {
        let folder = self.filler();
        std::fs::create_dir(&folder).unwrap();
        let mut number = 0;
        while std::fs::File::create(folder.join(number.to_string())).is_ok() {
            number += 1;
        }
        assert!(number > 0, "no file was left");
    }

    /// Gives back what [`fill`](Self::fill) or [`take_all_files`](Self::take_all_files) took.
    pub(crate) fn give_back(&self) {
        let path = self.filler();
        remove(&path);
    }

    /// Empties the disk, as that of a new machine.
    pub(crate) fn wipe(&self) {
        for entry in std::fs::read_dir(self.disk()).unwrap() {
            remove(&entry.unwrap().path());
        }
    }

    fn filler(&self) -> PathBuf {
        self.disk().join("filler")
    }
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path).unwrap(),
        false => std::fs::remove_file(path).unwrap(),
    }
}
