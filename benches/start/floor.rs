//! The floor: a resident process of one thread that makes the same container by the same system calls and does nothing else. No
//! plan, no records, no protocol, no init; one process, whose end is the container's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use dyno::runtime::facts::Facts;
use dyno::runtime::plan::{InitStep, plan};
use dyno::runtime::seccomp;
use dyno::sys::cgroup::Group;
use dyno::sys::message::{self, Channel};
use dyno::sys::mount::{self, Attributes};
use dyno::sys::process::{self, Cloned, Namespaces, SingleThreaded};
use dyno::sys::{credentials, loopback, netns, seccomp as filter, terminal};

use crate::bundle::{Bundle, TRUE};
use crate::others::{Failure, Run};
use crate::ours::Net;
use crate::stats::now_ns;
use crate::view::View;

/// First argument of the harness that makes it play this role.
pub const ROLE: &str = "floor";
const SAFE: Attributes = Attributes::NO_SETUID.and(Attributes::NO_DEVICES);
/// Covered by a file system of the floor's own, in its own mount namespace.
const SHARED: &str = "/mnt";
const TIMEOUT: Duration = Duration::from_secs(10);
/// Version 1 hierarchies that hold limits.
const V1: &[&str] = &["memory", "cpu", "cpuacct", "pids"];

/// The harness's end of a floor process.
pub struct Floor {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Floor {
    /// Starts one.
    pub fn start(bundle: &Bundle, group: &str, view: View, number: usize) -> io::Result<Floor> {
        let (dir, view) = (bundle.dir.to_string_lossy().into_owned(), format!("{view:?}"));
        let mut child = Command::new(std::env::current_exe()?)
            .args([ROLE, &dir, &format!("{group}-floor{number}"), &view])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (ask, answer) = pipes.ok_or_else(|| io::Error::other("the floor has no pipes"))?;
        Ok(Floor { child, ask, answer: BufReader::new(answer) })
    }

    /// Runs the workload to its end.
    pub fn run(&mut self, net: Net) -> Result<Run, Failure> {
        let began = now_ns();
        self.ask.write_all(if net == Net::Own { b"o\n" } else { b"a\n" })?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let whole_ns = now_ns() - began;
        let stamp: u64 = line.trim().parse().map_err(|_| Failure::Broken(line.trim().to_owned()))?;
        Ok(Run { first_ns: stamp.saturating_sub(began), whole_ns })
    }

    /// Ends it.
    pub fn finish(self) -> io::Result<()> {
        let Floor { mut child, ask, .. } = self;
        drop(ask);
        child.wait().map(drop)
    }
}

/// What the floor process holds ready.
struct Resident {
    single: SingleThreaded,
    root: PathBuf,
    view: View,
    groups: Vec<Group>,
    covered: Vec<(PathBuf, bool)>,
    ids: (u32, u32),
    ahead: Option<OwnedFd>,
}

/// Plays the role: `floor <bundle> <group> <view>`.
pub fn main(arguments: &[String]) -> io::Result<()> {
    let single = SingleThreaded::claim().ok_or_else(|| io::Error::other("more than one thread"))?;
    let [dir, group, view] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let view = <View as clap::ValueEnum>::from_str(view, true).map_err(io::Error::other)?;
    let mut resident = Resident::set_up(single, Path::new(dir), group, view)?;
    let stdin = io::stdin();
    loop {
        // Made while nobody waits, for the next that wants it.
        resident.ahead = Some(new_network(single)?);
        let mut line = String::new();
        if stdin.lock().read_line(&mut line)? == 0 {
            return resident.clear(group);
        }
        let done = resident.start(if line.trim() == "o" { Net::Own } else { Net::Ahead });
        let answer = done.map_or_else(|error| error.to_string(), |stamp| stamp.to_string());
        writeln!(io::stdout(), "{answer}")?;
        io::stdout().flush()?;
    }
}

/// A process that ends at once leaves its namespace to the descriptor.
fn new_network(single: SingleThreaded) -> io::Result<OwnedFd> {
    let (ours, theirs) = Channel::pair()?;
    match single.clone(Namespaces::NET, None)? {
        Cloned::Child => {
            drop(ours);
            let _ = theirs.receive(TIMEOUT);
            process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let namespace = File::open(format!("/proc/{pid}/ns/net"))?.into();
            drop(ours);
            drop(theirs);
            process::wait_readable(&[pidfd.as_fd()], Some(TIMEOUT))?;
            process::reap_one(pid)?;
            Ok(namespace)
        }
    }
}

impl Resident {
    fn set_up(single: SingleThreaded, dir: &Path, group: &str, view: View) -> io::Result<Resident> {
        process::block_signals()?;
        mount::enter_private_namespace()?;
        let bundle = Bundle { dir: dir.to_owned() };
        let sandbox = bundle.sandbox("floor", TRUE, view);
        let ids = (sandbox.ids.host_base, sandbox.ids.len);
        let spec = sandbox.into_spec().map_err(io::Error::other)?;
        let plan = plan(&spec, &Facts::gather()).map_err(io::Error::other)?;
        let covered = plan.init.into_iter().filter_map(|step| match step {
            InitStep::Mask(path) => Some((path, true)),
            InitStep::MakeReadOnly(path) => Some((path, false)),
            _ => None,
        });
        let covered = covered.collect();
        let hierarchies: Vec<PathBuf> = match view {
            View::V2 => vec![PathBuf::from("/sys/fs/cgroup")],
            View::V1 | View::Host => V1.iter().map(|name| Path::new("/sys/fs/cgroup").join(name)).collect(),
        };
        let groups = hierarchies.iter().map(|at| Group::open(at)?.make(group)).collect::<io::Result<_>>()?;
        seccomp::hardened().map_err(io::Error::other)?;
        make_shared()?;
        let root = dir.join("rootfs");
        Ok(Resident { single, root, view, groups, covered, ids, ahead: None })
    }

    fn clear(self, group: &str) -> io::Result<()> {
        drop(self.groups);
        crate::view::remove_groups(group);
        Ok(())
    }

    /// Makes one container, runs the workload in it, clears it away; the time of its first instruction.
    fn start(&mut self, net: Net) -> io::Result<u64> {
        let own = self.groups.iter().map(|group| group.make("c")).collect::<io::Result<Vec<_>>>()?;
        if self.view.has_limits() {
            own[0].write("memory.limit_in_bytes", "536870912")?;
            own[1].write("cpu.shares", "1024")?;
            own[3].write("pids.max", "256")?;
        }
        let (from, to) = message::pipe()?;
        let (ours, theirs) = Channel::pair()?;
        let kinds = Namespaces::USER.and(Namespaces::MOUNT).and(Namespaces::PID).and(Namespaces::IPC);
        let kinds = kinds.and(Namespaces::UTS);
        let into = (!self.view.has_limits()).then(|| own[0].as_fd());
        // The child never comes back out of this: it could not leave a network that the host's root owns.
        let born = |kinds: Namespaces| match self.single.clone(kinds, into)? {
            Cloned::Child => self.child(&theirs, net, &to),
            Cloned::Parent { pid, pidfd } => io::Result::Ok((pid, pidfd)),
        };
        let (pid, pidfd) = match (net, &self.ahead) {
            (Net::Own, _) => born(kinds.and(Namespaces::NET))?,
            (Net::Ahead, Some(ahead)) => netns::in_netns(ahead, || born(kinds))??,
            (Net::Ahead, None) => return Err(io::Error::other("no network is ready")),
        };
        drop((theirs, to));
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), format!("0 {} {}", self.ids.0, self.ids.1))?;
        }
        let users: OwnedFd = File::open(format!("/proc/{pid}/ns/user"))?.into();
        let network: OwnedFd = File::open(format!("/proc/{pid}/ns/net"))?.into();
        if self.view.has_limits() {
            own.iter().try_for_each(|group| group.write("cgroup.procs", &pid.to_string()))?;
        }
        let mounts = self.mounts(&users, &network)?;
        let given: Vec<_> = mounts.iter().map(AsFd::as_fd).collect();
        ours.send(b"m", &given)?;
        process::wait_readable(&[pidfd.as_fd()], Some(TIMEOUT))?;
        process::reap_one(pid)?;
        let mut stamp = [0; 8];
        let told = File::from(from).read_exact(&mut stamp);
        drop(own);
        self.groups.iter().try_for_each(|group| group.remove("c"))?;
        match told {
            Ok(()) => Ok(u64::from_ne_bytes(stamp)),
            Err(error) => {
                let said = ours.receive(Duration::ZERO).ok().flatten().map(|packet| packet.bytes);
                Err(io::Error::new(
                    error.kind(),
                    String::from_utf8_lossy(&said.unwrap_or_default()).into_owned(),
                ))
            }
        }
    }

    /// Mounts that need the host's rights: root, devices, masks, shm, tmp, sysfs.
    fn mounts(&self, users: &OwnedFd, network: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
        let root = mount::copy(&self.root)?;
        mount::set_attributes(&root, SAFE.and(Attributes::READ_ONLY), Some(users.as_fd()))?;
        let devices = mount::copy(&Path::new(SHARED).join("dev"))?;
        let still = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_EXEC);
        mount::set_attributes(&devices, still, Some(users.as_fd()))?;
        let masks = mount::copy(&Path::new(SHARED).join("masks"))?;
        mount::set_attributes(&masks, SAFE.and(Attributes::READ_ONLY).and(Attributes::NO_EXEC), None)?;
        let owner = self.ids.0.to_string();
        let memory = |bits: Attributes| {
            let options = [("size", "67108864"), ("mode", "1777"), ("uid", owner.as_str()), ("gid", &owner)];
            mount::filesystem("tmpfs", &options, SAFE.and(bits))
        };
        let (shm, tmp) = (memory(Attributes::NO_EXEC)?, memory(Attributes::NONE)?);
        let flags = SAFE.and(Attributes::NO_EXEC).and(Attributes::READ_ONLY);
        let sysfs = netns::in_netns(network, || mount::filesystem("sysfs", &[], flags))??;
        Ok(vec![root, devices, masks, shm, tmp, sysfs])
    }

    fn child(&self, channel: &Channel, net: Net, to: &OwnedFd) -> ! {
        let failed = self.become_workload(channel, net, to).err();
        let text = failed.map(|error| error.to_string()).unwrap_or_default();
        let _ = channel.send(text.as_bytes(), &[]);
        process::exit_now(1)
    }

    fn become_workload(&self, channel: &Channel, net: Net, to: &OwnedFd) -> io::Result<()> {
        let gone = || io::Error::other("the parent is gone");
        let mounts = channel.receive(TIMEOUT)?.ok_or_else(gone)?.descriptors;
        let [root, devices, masks, shm, tmp, sysfs] = mounts.as_slice() else { return Err(gone()) };
        credentials::become_user(0, 0)?;
        process::new_session()?;
        credentials::new_session_keyring()?;
        mount::attach_at(masks, Path::new("/sys"))?;
        mount::attach_at(root, Path::new("/"))?;
        let at = |path: &str| mount::resolve(root, Path::new(path));
        let inner = Attributes::NO_SETUID.and(Attributes::NO_EXEC);
        let kernel = |kind, options: &[(&str, &str)], bits| mount::filesystem(kind, options, bits);
        let still = inner.and(Attributes::NO_DEVICES);
        mount::attach(&kernel("proc", &[("hidepid", "invisible")], still)?, &at("/proc")?)?;
        mount::attach(sysfs, &at("/sys")?)?;
        mount::attach(devices, &at("/dev")?)?;
        let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
        mount::attach(&kernel("devpts", &pts, inner)?, &at("/dev/pts")?)?;
        mount::attach(shm, &at("/dev/shm")?)?;
        mount::attach(&kernel("mqueue", &[], still)?, &at("/dev/mqueue")?)?;
        mount::attach(tmp, &at("/tmp")?)?;
        for (path, is_masked) in &self.covered {
            let Ok(target) = mount::resolve(root, path) else { continue };
            let cover = if *is_masked {
                let kind = if mount::is_directory(&target)? { "directory" } else { "file" };
                mount::copy_at(masks, kind)?
            } else {
                let copy = mount::copy_at(&target, "")?;
                mount::set_attributes(&copy, Attributes::READ_ONLY, None)?;
                copy
            };
            mount::attach(&cover, &target)?;
        }
        credentials::set_host_name("bench")?;
        if net == Net::Own {
            loopback::up()?;
        }
        mount::pivot(root)?;
        credentials::enter_control_group_namespace()?;
        let null = File::open("/dev/null")?;
        terminal::become_standard(null.as_fd(), to.as_fd(), null.as_fd())?;
        process::default_signals()?;
        credentials::limit(credentials::Limited::OpenFiles, 1024)?;
        credentials::limit(credentials::Limited::CoreBytes, 0)?;
        credentials::empty_bounding_set()?;
        credentials::lock_secure_bits()?;
        credentials::become_user(1000, 1000)?;
        credentials::clear_capabilities()?;
        filter::set_no_new_privs()?;
        std::env::set_current_dir("/")?;
        process::close_on_exec_from(3)?;
        for program in &seccomp::hardened().map_err(io::Error::other)?.0 {
            filter::install(program)?;
        }
        Err(process::execute(TRUE, &[TRUE.to_owned()], &["PATH=/bin".to_owned()]))
    }
}

/// Device files and masks, made once, in a place that only this process sees.
fn make_shared() -> io::Result<()> {
    let place = Path::new(SHARED);
    mount::attach_at(&mount::filesystem("tmpfs", &[("mode", "0755")], Attributes::NO_SETUID)?, place)?;
    for name in ["dev", "dev/pts", "dev/shm", "dev/mqueue", "masks", "masks/directory"] {
        std::fs::create_dir(place.join(name))?;
    }
    std::fs::write(place.join("masks/file"), "")?;
    let open = File::open(place.join("dev"))?;
    let devices =
        [("null", (1, 3)), ("zero", (1, 5)), ("full", (1, 7)), ("random", (1, 8)), ("urandom", (1, 9))];
    devices
        .iter()
        .chain(&[("tty", (5, 0))])
        .try_for_each(|(name, numbers)| mount::make_device(&open, name, *numbers))
}
