//! The doctor: looks at the host once and says, line by line, what is there, what is missing and what to do about it.

mod forwarding;

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::runtime::cgroup::{Cgroups, Enforcement, Mode};
use crate::runtime::network::resolvers;
use crate::sys;

/// The oldest kernel that has all that a container needs: overlayfs over id-mapped layers (since 5.19) and the mount
/// interface of Debian 12's 6.1, which is what is tested.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// The oldest git that can be held to an address (`http.curloptResolve`).
const GIT_MIN: (u32, u32) = (2, 37);
/// Room that a stack, its build and a few slugs take.
const FREE_BYTES_MIN: u64 = 6 << 30;

/// What is looked at besides the host itself.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where state is, or will be.
    pub lib_dir: PathBuf,
    /// Addresses that will be listened on; empty while a node of ours holds them.
    pub listen: Vec<SocketAddr>,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but less well.
    Warn,
    /// Containers cannot be run so.
    Fail,
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; empty when nothing.
    pub advice: String,
}

impl Finding {
    fn ok(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Ok, seen: seen.into(), advice: String::new() }
    }

    fn bad(
        subject: &'static str,
        verdict: Verdict,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { subject, verdict, seen: seen.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{mark}  {}: {}", self.subject, self.seen)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "\n      {}", self.advice) }
    }
}

/// Looks at everything; changes nothing.
#[must_use]
pub fn examine(subject: &Subject) -> Vec<Finding> {
    let mut findings = vec![rights(), kernel(), user_namespaces(), seccomp()];
    findings.extend([file_system("overlay"), cgroups(), device_rules(), name_servers()]);
    findings.push(program("nft", "nftables", Verdict::Fail));
    findings.extend(forwarding::finding());
    findings.push(git());
    findings.push(program("mmdebstrap", "mmdebstrap", Verdict::Warn));
    findings.push(space(&subject.lib_dir));
    findings.extend(subject.listen.iter().map(port));
    findings
}

/// Whether containers can be run: nothing failed.
#[must_use]
pub fn is_fit(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.verdict != Verdict::Fail)
}

fn rights() -> Finding {
    let missing = sys::privilege::missing_for_containers();
    if missing.is_empty() {
        Finding::ok("rights", "all that containers need")
    } else {
        let seen = format!("without {}", missing.join(", "));
        Finding::bad("rights", Verdict::Fail, seen, "run as root, or through sudo")
    }
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease");
    match parse_version(&release) {
        Some(version) if version >= KERNEL_MIN => Finding::ok("kernel", release),
        Some(_) | None => {
            let advice = format!("Linux {}.{} or later is needed", KERNEL_MIN.0, KERNEL_MIN.1);
            Finding::bad("kernel", Verdict::Fail, release, advice)
        }
    }
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn user_namespaces() -> Finding {
    let subject = "user namespaces";
    if !Path::new("/proc/self/ns/user").exists() {
        return Finding::bad(subject, Verdict::Fail, "none", "use a kernel built with CONFIG_USER_NS");
    }
    match read("/proc/sys/user/max_user_namespaces").parse::<u64>() {
        Ok(0) => {
            let advice = "raise the setting user.max_user_namespaces (sysctl)";
            Finding::bad(subject, Verdict::Fail, "none allowed", advice)
        }
        Ok(most) => Finding::ok(subject, format!("at most {most}")),
        Err(_) => Finding::ok(subject, "there"),
    }
}

fn seccomp() -> Finding {
    let actions = read("/proc/sys/kernel/seccomp/actions_avail");
    if actions.split_whitespace().any(|action| action == "errno") {
        Finding::ok("seccomp", "filters")
    } else {
        Finding::bad("seccomp", Verdict::Fail, "no filters", "use a kernel built with CONFIG_SECCOMP_FILTER")
    }
}

fn file_system(name: &'static str) -> Finding {
    if read("/proc/filesystems").split_whitespace().any(|word| word == name) {
        Finding::ok("overlay file system", "there")
    } else {
        Finding::bad("overlay file system", Verdict::Fail, "not there", format!("load it: modprobe {name}"))
    }
}

fn cgroups() -> Finding {
    let subject = "control groups";
    match Cgroups::detect("dyno-doctor", Enforcement::Required) {
        Ok(found) => match found.mode() {
            Mode::Unified => Finding::ok(subject, "unified"),
            Mode::Hybrid => {
                Finding::ok(subject, "hybrid: limits through v1, killing and pressure through v2")
            }
            Mode::Legacy => {
                let advice = "mount a cgroup2 hierarchy too: killing and pressure need it";
                Finding::bad(subject, Verdict::Warn, "v1 only", advice)
            }
        },
        Err(error) => Finding::bad(subject, Verdict::Fail, error.to_string(), String::new()),
    }
}

fn device_rules() -> Finding {
    let subject = "rules about devices";
    match sys::device_filter::try_out() {
        Ok(()) => Finding::ok(subject, "kept by the kernel"),
        Err(error) => {
            let advice = "use a kernel built with CONFIG_CGROUP_BPF, and let root load programs into it; until then \
                          only mounts keep containers from devices";
            Finding::bad(subject, Verdict::Warn, error.to_string(), advice)
        }
    }
}

fn name_servers() -> Finding {
    let subject = "name servers";
    let found = resolvers::of_host();
    if found.is_empty() {
        let advice = "name IPv4 servers that are not on loopback: resolvers = [...] under [network] in the configuration";
        return Finding::bad(subject, Verdict::Warn, "none that a container can reach", advice);
    }
    let listed: Vec<_> = found.iter().map(ToString::to_string).collect();
    Finding::ok(subject, listed.join(", "))
}

fn program(name: &'static str, package: &str, verdict: Verdict) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()) {
        Some(file) => Finding::ok(name, file.display().to_string()),
        None => Finding::bad(name, verdict, "not found", format!("install it: apt-get install {package}")),
    }
}

/// Looks at git and its version.
#[must_use]
pub fn git() -> Finding {
    let found = program("git", "git", Verdict::Fail);
    if found.verdict != Verdict::Ok {
        return found;
    }
    let said = std::process::Command::new("git").arg("--version").output();
    judge_git(found, &said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default())
}

fn judge_git(found: Finding, said: &str) -> Finding {
    let said = said.trim();
    match said.strip_prefix("git version ").and_then(parse_version) {
        Some(version) if version >= GIT_MIN => Finding { seen: format!("{}, {said}", found.seen), ..found },
        Some(_) | None => {
            let seen = format!("{}, {}", found.seen, if said.is_empty() { "of no version" } else { said });
            let advice = format!(
                "install git {}.{} or later: an older one does not keep to the address of a repository elsewhere that the node has \
                 judged (http.curloptResolve), and looks its name up again",
                GIT_MIN.0, GIT_MIN.1
            );
            Finding::bad("git", Verdict::Warn, seen, advice)
        }
    }
}

fn space(dir: &Path) -> Finding {
    let subject = "disk space";
    let Some(there) = dir.ancestors().find(|dir| dir.is_dir()) else {
        return Finding::bad(subject, Verdict::Fail, format!("{} is nowhere", dir.display()), String::new());
    };
    match sys::fs::free_bytes(there) {
        Ok(free) => {
            let seen = format!("{:.1} GiB free at {}", free as f64 / f64::from(1 << 30), there.display());
            if free >= FREE_BYTES_MIN {
                return Finding::ok(subject, seen);
            }
            let advice = format!("{} GiB are needed to build a stack", FREE_BYTES_MIN >> 30);
            Finding::bad(subject, Verdict::Warn, seen, advice)
        }
        Err(error) => {
            Finding::bad(subject, Verdict::Fail, format!("{}: {error}", there.display()), String::new())
        }
    }
}

fn port(address: &SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(error) => {
            let advice = "choose another with --router-port or --git-port, or stop the program that has it";
            Finding::bad("port", Verdict::Fail, format!("{address}: {error}"), advice)
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_as_numbers() {
        assert_eq!(parse_version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(parse_version("6.1.0-37-cloud-amd64"), Some((6, 1)));
        assert!(parse_version("5.10.0") < Some(KERNEL_MIN));
        assert_eq!(parse_version("linux"), None);
    }

    #[test]
    fn an_old_git_is_told_of() {
        let judged = |said: &str| judge_git(Finding::ok("git", "/usr/bin/git"), said);
        for good in ["git version 2.39.5\n", "git version 2.37.0", "git version 3.0.1 (a vendor's)"] {
            assert_eq!(judged(good).verdict, Verdict::Ok, "{good}");
        }
        for bad in ["git version 2.36.6\n", "git version 1.99.0", "", "another program"] {
            let found = judged(bad);
            assert!(found.verdict == Verdict::Warn && found.advice.contains("2.37"), "{bad}: {found}");
        }
    }

    #[test]
    fn a_taken_port_is_a_failure_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let finding = port(&address);
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.to_string().contains(&address.to_string()));
        assert!(!is_fit(&[finding]));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let finding = program("no-such-program", "some-package", Verdict::Fail);
        assert!(finding.advice.contains("some-package"));
    }

    #[test]
    fn every_complaint_says_what_to_do() {
        let subject = Subject { lib_dir: "/var/lib/dyno".into(), listen: Vec::new() };
        for finding in examine(&subject) {
            assert!(finding.verdict == Verdict::Ok || !finding.seen.is_empty(), "{finding}");
        }
    }
}
