//! The machine: a server with one exported disk, and two clients that are a network and a host name of their own each.
//! What can be done to a network and a server is here; who suffers from it is not.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;

/// The folder of the host that this machine may write to.
pub(crate) const HOST: &str = "/mnt/host";
/// This program, where nothing that is mounted over the host's folders hides it.
const PROGRAM: &str = "/mnt/program";
/// The disk that is exported, as the server itself sees it.
const EXPORT: &str = "/mnt/export";
/// Where a client sees it.
const MOUNT: &str = "/mnt/nfs";
const DISK: &str = "/dev/ubda";
const FILLER: &str = "/mnt/export/filler";

/// For how long the server keeps the locks of a client that it does not hear: the shortest that it takes.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The client of this number.
    Client(usize),
    Server,
}

/// The machine, once it runs.
pub(crate) struct Machine {
    clients: Vec<Client>,
    /// Daemons of the server.
    _daemons: Vec<Child>,
}

struct Client {
    name: &'static str,
    /// The server's address and the client's on the cable between them.
    cable: (&'static str, &'static str),
    /// Sleeps in the client's name spaces, and so keeps them.
    keeper: Child,
    daemons: Vec<Child>,
}

/// The server's own address, by which both clients know it.
const SERVER: &str = "10.0.0.1";
const CABLES: [(&str, &str, &str); 2] = [("north", "10.0.1.1", "10.0.1.2"), ("south", "10.0.2.1", "10.0.2.2")];

/// Runs it, says how it ended to the host, and ends the machine.
pub(crate) fn power_off_after(work: impl FnOnce() -> Outcome) -> ! {
    let verdict = match work() {
        Ok(()) => "ok".to_owned(),
        Err(problem) => problem,
    };
    println!("verdict: {verdict}");
    // Where the host's folder is not there, the host finds no verdict, which is one.
    let _ = fs::write(format!("{HOST}/verdict"), verdict);
    let _ = Command::new("sync").status();
    let _ = fs::write("/proc/sysrq-trigger", "o");
    loop {
        sleep(PATIENCE);
    }
}

impl Machine {
    /// Makes a server and its clients of a kernel that has only just begun.
    pub(crate) fn boot() -> Outcome<Machine> {
        file_systems()?;
        println!("Linux {} has begun", kernel()?);
        let modules = "/mnt/modules/lib/modules";
        make_dir(modules)?;
        run(&format!("ln -s /usr/lib/uml/modules/{} {modules}/", kernel()?))?;
        for module in ["nfsd", "lockd", "nfsv3", "nfsv4", "veth"] {
            run(&format!("modprobe -d /mnt/modules {module}"))?;
        }
        run("mount -t nfsd nfsd /proc/fs/nfsd")?;
        run(&format!("mount -t ext4 {DISK} {EXPORT}"))?;
        run("hostname server")?;
        run("ip link set lo up")?;
        run(&format!("ip addr add {SERVER}/32 dev lo"))?;
        state_of_daemons()?;
        run("mount -t rpc_pipefs pipefs /var/lib/nfs/rpc_pipefs")?;
        let mut clients = CABLES.iter().map(|cable| Client::make(*cable)).collect::<Outcome<Vec<_>>>()?;
        let daemons = serve()?;
        for client in &mut clients {
            client.daemons.push(client.daemon("rpcbind -f")?);
            until("a client's portmapper", || client.run("rpcinfo -p 127.0.0.1").is_ok())?;
            client.daemons.push(client.daemon("rpc.statd --no-notify -F")?);
        }
        Ok(Machine { clients, _daemons: daemons })
    }

    /// Has both clients mount the export by this version of the protocol.
    pub(crate) fn mount(&self, version: &str) -> Outcome {
        // Version 4 names what is exported from its own root on, version 3 as the server does.
        let (source, more) = if version.starts_with('4') { ("/", "") } else { (EXPORT, ",mountport=20048") };
        for client in &self.clients {
            let mount = format!("mount -t nfs -o vers={version},hard{more} {SERVER}:{source} {MOUNT}");
            client.run(&mount)?;
        }
        Ok(())
    }

    pub(crate) fn unmount(&self) -> Outcome {
        self.clients.iter().try_for_each(|client| client.run(&format!("umount {MOUNT}")))
    }

    /// A folder on the exported disk, made if it is not there, as it is called at the place.
    pub(crate) fn folder(&self, place: Place, name: &str) -> Outcome<String> {
        make_dir(&format!("{EXPORT}/{name}"))?;
        let root = if place == Place::Server { EXPORT } else { MOUNT };
        Ok(format!("{root}/{name}"))
    }

    /// This program at the place.
    pub(crate) fn command(&self, place: Place) -> Command {
        match place {
            Place::Server => Command::new(PROGRAM),
            Place::Client(index) => {
                let mut command = self.clients[index].enter();
                command.arg(PROGRAM);
                command
            }
        }
    }

    /// Pulls the client's cable.
    pub(crate) fn cut(&self, client: usize) -> Outcome {
        run(&format!("ip link set {} down", self.clients[client].name))
    }

    /// Plugs it in again.
    pub(crate) fn mend(&self, client: usize) -> Outcome {
        let client = &self.clients[client];
        run(&format!("ip link set {} up", client.name))
    }

    /// Ends the server with all that it knows of its clients' locks.
    pub(crate) fn stop_server(&self) -> Outcome {
        run("rpc.nfsd 0")
    }

    /// Begins it again, and tells the clients, which then ask for the locks that they had.
    pub(crate) fn start_server(&self) -> Outcome {
        start_nfsd()?;
        run("sm-notify -f -v server")
    }

    /// Leaves no byte free on the disk.
    pub(crate) fn fill(&self) -> Outcome {
        for block_bytes in [1 << 20, 4096, 1024] {
            // It ends with an error, which is what is wanted.
            let fill = format!("dd if=/dev/zero of={FILLER} bs={block_bytes} oflag=append conv=notrunc,fsync");
            let _ = command(&fill).stderr(Stdio::null()).status();
        }
        Ok(())
    }

    pub(crate) fn free(&self) -> Outcome {
        fs::remove_file(FILLER).map_err(|error| format!("cannot remove {FILLER}: {error}"))
    }
}

impl Client {
    fn make((name, server, client): (&'static str, &'static str, &'static str)) -> Outcome<Client> {
        let keeper = spawn("unshare --net --uts --mount --propagation private sleep infinity")?;
        let made = Client { name, cable: (server, client), keeper, daemons: Vec::new() };
        let spaces = format!("/proc/{}/ns/net", made.keeper.id());
        let ours = fs::read_link("/proc/self/ns/net").ok();
        until("a client's network", || fs::read_link(&spaces).ok() != ours)?;
        made.run(&format!("hostname {name}"))?;
        // A portmapper finds its callers by a socket in /run. There must be none that all kernels' clients see, or the
        // lock daemon of one network registers with the portmapper of another.
        made.run("mount -t tmpfs tmpfs /run")?;
        made.run("mount -t tmpfs tmpfs /var/lib/nfs")?;
        made.run("mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/rpc_pipefs")?;
        run(&format!("ip link add {name} type veth peer name eth0 netns {}", made.keeper.id()))?;
        run(&format!("ip addr add {server}/24 dev {name}"))?;
        run(&format!("ip link set {name} up"))?;
        made.run("ip link set lo up")?;
        made.run(&format!("ip addr add {client}/24 dev eth0"))?;
        made.run("ip link set eth0 up")?;
        made.run(&format!("ip route add default via {}", made.cable.0))?;
        Ok(made)
    }

    fn enter(&self) -> Command {
        command(&format!("nsenter --target {} --net --uts --mount", self.keeper.id()))
    }

    fn run(&self, line: &str) -> Outcome {
        let mut command = self.enter();
        finish(command.args(line.split(' ')), line)
    }

    fn daemon(&self, line: &str) -> Outcome<Child> {
        let mut command = self.enter();
        begin(command.args(line.split(' ')), line)
    }
}

fn file_systems() -> Outcome {
    run("mount -t proc proc /proc")?;
    run("mount -t sysfs sysfs /sys")?;
    for folder in ["/run", "/mnt", "/var/lib/nfs"] {
        run(&format!("mount -t tmpfs tmpfs {folder}"))?;
    }
    run(&format!("cp /proc/1/exe {PROGRAM}"))?;
    make_dir(HOST)?;
    let host = std::env::var("TRIALOG_NFS_HOST").map_err(|_| "the host names no folder".to_owned())?;
    run(&format!("mount -t hostfs -o {host} none {HOST}"))?;
    run("mount --make-rprivate /")?;
    // Who announces that the server has begun anew is believed only if its name and its address belong together.
    let hosts = CABLES.iter().map(|(name, _, address)| format!("{address} {name}\n")).collect::<String>();
    write("/mnt/hosts", &format!("127.0.0.1 localhost\n{SERVER} server\n{hosts}"))?;
    run("mount --bind /mnt/hosts /etc/hosts")?;
    make_dir(EXPORT)?;
    make_dir(MOUNT)
}

fn state_of_daemons() -> Outcome {
    for folder in ["v4recovery", "sm", "sm.bak", "rpc_pipefs", "nfsdcld"] {
        make_dir(&format!("/var/lib/nfs/{folder}"))?;
    }
    for file in ["etab", "rmtab", "state"] {
        write(&format!("/var/lib/nfs/{file}"), "")?;
    }
    Ok(())
}

/// Everything that an NFS server consists of.
fn serve() -> Outcome<Vec<Child>> {
    let mut daemons = vec![spawn("unshare --mount --propagation private rpcbind -f")?];
    // Its /run is its own too; see `Client::make`.
    until("the server's portmapper", || run("rpcinfo -p 127.0.0.1").is_ok())?;
    let options = "rw,sync,no_root_squash,no_subtree_check,fsid=0,insecure";
    run(&format!("exportfs -o {options} *:{EXPORT}"))?;
    daemons.push(spawn("rpc.statd --no-notify -F")?);
    daemons.push(spawn("nfsdcld -F")?);
    daemons.push(spawn("rpc.mountd -F --port 20048")?);
    // Nobody can have a lock from before.
    write("/proc/sys/fs/nfs/nlm_grace_period", "3")?;
    start_nfsd()?;
    let _ = fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
    Ok(daemons)
}

fn start_nfsd() -> Outcome {
    let seconds = LEASE.as_secs();
    // It says so itself if it cannot, but not by its status.
    run(&format!("rpc.nfsd --grace-time {seconds} --lease-time {seconds} 8"))?;
    let threads = fs::read_to_string("/proc/fs/nfsd/threads").unwrap_or_default();
    if threads.trim() == "8" { Ok(()) } else { Err(format!("the server has {threads:?} threads")) }
}

fn kernel() -> Outcome<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    Ok(release.map_err(|error| format!("which kernel is this? {error}"))?.trim().to_owned())
}

/// Waits until it is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) -> Outcome {
    until_within(PATIENCE, what, is_so)
}

pub(crate) fn until_within(patience: Duration, what: &str, is_so: impl Fn() -> bool) -> Outcome {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > patience {
            return Err(format!("not within {} s: {what}", patience.as_secs()));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

pub(crate) fn run(line: &str) -> Outcome {
    finish(&mut command(line), line)
}

fn finish(command: &mut Command, line: &str) -> Outcome {
    let output = command.output().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{line}` ended with {}: {}", output.status, said.trim()))
}

fn spawn(line: &str) -> Outcome<Child> {
    begin(&mut command(line), line)
}

fn begin(command: &mut Command, line: &str) -> Outcome<Child> {
    // Daemons speak of families of addresses that this kernel does not have, and of much else.
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().map_err(|error| format!("cannot start `{line}`: {error}"))
}

fn make_dir(path: &str) -> Outcome {
    fs::create_dir_all(Path::new(path)).map_err(|error| format!("cannot make {path}: {error}"))
}

fn write(path: &str, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("cannot write {path}: {error}"))
}
