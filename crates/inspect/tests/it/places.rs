//! The doctor: real places with real processes, and places of other machines by their mount tables.

use std::process::Command;

use trialog_inspect::{Doctor, Mode, NoHelper, Outcome, Spawner, doctor, doctor_helper, judge, promises};
use trialog_journal_file::mounts::{classify, mount_of_device, mount_of_path, parse_mounts};

const HELPER: &str = "TRIALOG_INSPECT_TEST_HELPER";

/// This very test program, as the helper below.
struct Itself;

impl Spawner for Itself {
    fn helper(&self) -> Option<Command> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "places::helper", "--nocapture"]).env(HELPER, "1");
        Some(command)
    }
}

/// A helper that cannot be started.
struct Missing;

impl Spawner for Missing {
    fn helper(&self) -> Option<Command> {
        Some(Command::new("/there/is/no/such/program"))
    }
}

#[test]
fn helper() {
    if std::env::var_os(HELPER).is_some() {
        doctor_helper(std::io::stdin().lock(), std::io::stdout()).unwrap();
    }
}

fn examine(spawner: &dyn Spawner) -> Doctor {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("runs.tlog");
    let found = doctor(&log, spawner).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the doctor's files are gone");
    found
}

#[test]
fn a_local_folder_can_hold_a_log() {
    let found = examine(&Itself);
    assert!(found.is_writable(), "{found}");
    for name in ["write", "lock", "visibility", "death", "rename", "sync", "clock"] {
        let probe = found.probe(name).unwrap();
        assert_eq!(probe.outcome, Outcome::Good, "{found}");
    }
    assert!(found.probe("lock").unwrap().detail.contains("another process"), "{found}");
    assert!(!found.promises.is_empty());
    assert!(found.to_string().contains("promised: what has been told survives the loss of power"), "{found}");
}

#[cfg(unix)]
#[test]
fn a_log_that_may_only_be_read_is_said_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("runs.tlog");
    std::fs::write(&log, b"").unwrap();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o444)).unwrap();
    let found = doctor(&log, &NoHelper).unwrap();
    // Root may write everything.
    let root = std::fs::OpenOptions::new().write(true).open(&log).is_ok();
    assert_eq!(found.is_writable(), root, "{found}");
    assert_eq!(matches!(found.mode, Mode::ReadOnly { .. }), !root, "{found}");
}

#[test]
fn without_a_second_process_a_second_descriptor_must_do() {
    for found in [examine(&NoHelper), examine(&Missing)] {
        assert!(found.is_writable(), "{found}");
        assert!(found.probe("lock").unwrap().detail.contains("another descriptor"), "{found}");
        assert_eq!(found.probe("death").unwrap().outcome, Outcome::Untried, "{found}");
    }
    assert_eq!(examine(&Missing).probe("helper").unwrap().outcome, Outcome::Untried);
}

#[test]
fn a_folder_that_is_not_there_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let error = doctor(folder.path().join("no/runs.tlog"), &NoHelper).unwrap_err();
    assert!(error.to_string().contains("there is no log at"), "{error}");
}

/// What the promises say stands in the guarantees too, word for word.
#[test]
fn the_promises_are_those_of_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guarantees.md");
    let flat = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").to_lowercase().replace(['`', '*'], "")
    };
    let document = flat(&std::fs::read_to_string(path).unwrap());
    for piece in [
        "it survives the loss of power",
        "a record is visible when its append returns",
        "it dies with its holder",
        "every append is flushed before the lock is released, whatever durability was asked for",
        "a reader that never locks may lag by up to 60 seconds",
        "a writer is always up to date",
        "what it sees has been verified",
    ] {
        assert!(document.contains(piece), "the guarantees no longer say: {piece}");
    }
    assert_eq!(promises(&Mode::Local).len(), 3);
}

const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 0:26 / /memory rw,nosuid shared:5 - tmpfs tmpfs rw,size=8G
31 22 0:50 / /var/lib/docker/overlay2/x/merged rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
40 22 0:60 / /nfs4 rw,relatime shared:20 - nfs4 server:/export rw,vers=4.2,proto=tcp,local_lock=none,addr=10.0.0.1
41 22 0:61 / /nfs3 rw,relatime shared:21 - nfs server:/export rw,vers=3,mountproto=udp,local_lock=none
42 22 0:62 / /nfs3-nolock rw,relatime - nfs server:/export rw,vers=3,nolock,local_lock=all
43 22 0:63 / /nfs-posix rw,relatime - nfs server:/export rw,vers=3,local_lock=posix
44 22 0:64 / /nfs-flock rw,relatime - nfs server:/export rw,vers=3,local_lock=flock
50 22 0:70 / /lustre rw - lustre 10.0.0.1@tcp:/scratch rw,flock,lazystatfs
51 22 0:71 / /lustre-local rw - lustre 10.0.0.1@tcp:/scratch rw,localflock,lazystatfs
52 22 0:72 / /beegfs rw - beegfs beegfs_nodev rw,cfgFile=/etc/beegfs/client.conf
53 22 0:73 / /smb rw - cifs //server/share rw,vers=3.1.1,cache=strict
54 22 0:74 / /smb-nobrl rw - cifs //server/share rw,vers=3.1.1,nobrl
60 22 0:80 / /mnt/with\\040space rw - fuse.sshfs me@host:/ rw,user_id=1000
61 22 0:81 / /gluster rw - fuse.glusterfs host:/vol rw,allow_other
62 22 0:82 / /stick rw - fuseblk /dev/sdb1 rw,user_id=0
63 22 0:83 / /nolock rw - nfs4 server:/export rw,vers=4.1,local_lock=none
70 22 0:84 / /nfs4/over rw - tmpfs tmpfs rw
not a line of the table";

/// What Trialog does at each place: `l`ocal, `n`etwork, or why it refuses.
#[test]
fn places_of_other_machines_are_judged_by_their_mounts() {
    let mounts = parse_mounts(TABLE);
    assert_eq!(mounts.len(), TABLE.lines().count() - 1);
    let cases = [
        ("/runs/a", "/", "l"),
        ("/memory/x", "/memory", "l"),
        ("/var/lib/docker/overlay2/x/merged/log", "/var/lib/docker/overlay2/x/merged", "l"),
        ("/nfs4/a/b", "/nfs4", "n"),
        ("/nfs4x", "/", "l"),
        ("/nfs4/over/b", "/nfs4/over", "l"),
        ("/nfs3", "/nfs3", "n"),
        ("/nfs3-nolock/x", "/nfs3-nolock", "`nolock`"),
        ("/nfs-posix/x", "/nfs-posix", "`local_lock=posix`"),
        ("/nfs-flock/x", "/nfs-flock", "n"),
        ("/lustre/x", "/lustre", "n"),
        ("/lustre-local/x", "/lustre-local", "`localflock`"),
        ("/beegfs/x", "/beegfs", "BeeGFS keeps locks to one machine"),
        ("/smb/x", "/smb", "n"),
        ("/smb-nobrl/x", "/smb-nobrl", "`nobrl`"),
        ("/mnt/with space/x", "/mnt/with space", "`fuse.sshfs` keeps locks to one machine"),
        ("/gluster/x", "/gluster", "n"),
        ("/stick/x", "/stick", "l"),
        ("/nolock/x", "/nolock", "n"),
    ];
    for (path, point, expected) in cases {
        let mount = mount_of_path(&mounts, path.as_ref()).unwrap();
        assert_eq!(mount.point, point);
        let mode = judge(&classify(None, Some(mount)), &[]);
        match (expected, &mode) {
            ("l", Mode::Local) | ("n", Mode::Network) => {}
            (reason, Mode::Refused { why }) if why.contains(reason) => {}
            _ => panic!("{path}: expected {expected}, found {mode}"),
        }
    }
}

#[test]
fn the_kernels_number_says_more_than_the_name() {
    let mounts = parse_mounts(TABLE);
    let nfs = mount_of_device(&mounts, 0, 62).unwrap();
    assert_eq!(nfs.point, "/nfs3-nolock");
    assert!(classify(Some(0x6969), Some(nfs)).lock_doubt.is_some());
    assert!(classify(Some(0x6969), None).network, "a mount that is not in the table");
    assert!(!classify(Some(0xef53), None).network);
    assert!(classify(Some(0x1983_0326), None).lock_doubt.is_some(), "BeeGFS without its mount");
}
