//! What a mount says about its file system: whether other machines see the files, and whether locks reach them.
//! Pure functions on the kernel's table, so that tests can hand in tables of machines that they do not have.

use crate::os::FileSystem;
use std::path::Path;

/// File systems that other machines may share: type numbers from the kernel's `magic.h` and the file systems' own
/// sources, and the names that the mount table has for them.
const NETWORK: [(u32, &str, &[&str]); 13] = [
    (0x6969, "NFS", &["nfs", "nfs4"]),
    (0x517b, "SMB", &["smbfs"]),
    (0xff53_4d42, "CIFS", &["cifs"]),
    (0xfe53_4d42, "SMB", &["smb3"]),
    (0x0bd0_0bd0, "Lustre", &["lustre"]),
    (0x1983_0326, "BeeGFS", &["beegfs"]),
    (0x6573_5546, "FUSE", &["fuse", "virtiofs"]),
    (0x00c3_6400, "Ceph", &["ceph"]),
    (0x5346_414f, "AFS", &["afs"]),
    (0x4750_4653, "GPFS", &["gpfs"]),
    (0x7461_636f, "OCFS2", &["ocfs2"]),
    (0x0116_1970, "GFS2", &["gfs2"]),
    (0x0102_1997, "9P", &["9p"]),
];

/// Options with which locks stay on this machine, though the files do not.
const LOCAL_LOCKS: [&str; 5] = ["nolock", "local_lock=all", "local_lock=posix", "localflock", "nobrl"];

/// Programs behind FUSE that show files of other machines and know nothing of the locks taken there.
const LOCAL_FUSE: [&str; 6] =
    ["fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.goofys", "fuse.mountpoint-s3"];

/// A line of the kernel's mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number, as `8:1`.
    pub device: String,
    /// Where it is mounted.
    pub point: String,
    /// The kind of file system, such as `ext4` or `nfs4`.
    pub kind: String,
    /// What is mounted there.
    pub source: String,
    /// All options, those of the mount and those of the file system.
    pub options: Vec<String>,
}

/// The mounts in a text in the form of Linux's `/proc/self/mountinfo`. Lines in another form are passed over.
#[must_use]
pub fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (own, fs) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(2);
    let (device, _root, point, options) = (own.next()?, own.next()?, own.next()?, own.next()?);
    let mut fs = fs.split(' ');
    let (kind, source, more) = (fs.next()?, fs.next()?, fs.next().unwrap_or_default());
    let options = options.split(',').chain(more.split(',')).filter(|option| !option.is_empty()).map(String::from);
    Some(Mount {
        device: device.into(),
        point: unescape(point),
        kind: kind.into(),
        source: unescape(source),
        options: options.collect(),
    })
}

/// The kernel writes a space, a tab, a newline and a backslash as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(String::from(text), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The mount of a device.
#[must_use]
pub fn mount_of_device(mounts: &[Mount], major: u64, minor: u64) -> Option<&Mount> {
    let device = format!("{major}:{minor}");
    mounts.iter().find(|mount| mount.device == device)
}

/// The mount that holds an absolute path; the later one of two at the same place covers the earlier.
#[must_use]
pub fn mount_of_path<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let holding = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    holding.max_by_key(|mount| Path::new(&mount.point).components().count())
}

/// What is known of a file system by the system's number for its kind, and by its mount.
#[must_use]
pub fn classify(number: Option<u32>, mount: Option<&Mount>) -> FileSystem {
    let by_number = NETWORK.iter().find(|(its, ..)| Some(*its) == number);
    let by_name = || {
        let kind = mount.map(|mount| mount.kind.as_str())?;
        // `fuse.sshfs` is a kind of `fuse`; `fuseblk` is a disk of this machine.
        let family = kind.split('.').next().unwrap_or(kind);
        NETWORK.iter().find(|(_, _, kinds)| kinds.contains(&family))
    };
    match by_number.or_else(|| if number.is_none() { by_name() } else { None }) {
        Some((_, name, _)) => {
            FileSystem { name: String::from(*name), network: true, lock_doubt: lock_doubt(name, mount) }
        }
        None => FileSystem { name: String::from("local"), network: false, lock_doubt: None },
    }
}

fn lock_doubt(name: &str, mount: Option<&Mount>) -> Option<String> {
    if let Some(mount) = mount {
        if let Some(option) = mount.options.iter().find(|option| LOCAL_LOCKS.contains(&option.as_str())) {
            return Some(format!("it is mounted with `{option}`"));
        }
        if LOCAL_FUSE.contains(&mount.kind.as_str()) {
            return Some(format!("`{}` keeps locks to one machine", mount.kind));
        }
    }
    (name == "BeeGFS").then(|| String::from("BeeGFS keeps locks to one machine unless told otherwise"))
}
