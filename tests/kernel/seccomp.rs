//! The system call filter on the real kernel, and ordinary programs under it.
//!
//! The filter is put on a thread of its own, which has every right of root: what is refused here is refused by the filter.

use std::io::Error;
use std::process::Command;

use dyno::runtime::seccomp::hardened;
use dyno::sys::seccomp::{install, set_no_new_privs};

use crate::support::skip::{is_root_or_skip, skip};

/// The kernel's errnos.
const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// Runs `work` under the filter, in a thread that ends with it.
fn filtered<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let programs = hardened().unwrap();
    let thread = std::thread::spawn(move || {
        set_no_new_privs().unwrap();
        for program in &programs.0 {
            install(program).unwrap();
        }
        work()
    });
    thread.join().unwrap()
}

/// What a shell script prints, and whether it succeeded, with the filter on it and all it starts.
fn script(text: &str) -> (bool, String) {
    let text = text.to_owned();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let output =
        filtered(move || Command::new("sh").arg("-ec").arg(text).current_dir(path).output().unwrap());
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), told)
}

/// The errno of a raw system call made by perl, which every Debian has; 0 for success.
fn errno(arguments: &str) -> i32 {
    let text =
        format!("perl -e 'my $b = qq(\\0) x 256; $r = syscall({arguments}); print $r == -1 ? $!+0 : 0'");
    let (done, told) = script(&text);
    assert!(done, "{told}");
    told.trim().parse().unwrap_or_else(|_| panic!("{arguments}: {told}"))
}

#[test]
fn what_opens_the_host_is_refused_even_to_root() {
    if !is_root_or_skip("what_opens_the_host_is_refused_even_to_root") {
        return;
    }
    let refusals = filtered(|| {
        let errno = |result: nix::Result<()>| result.err().map(|errno| errno as i32);
        vec![
            ("unshare", errno(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER))),
            ("chroot", errno(nix::unistd::chroot("/"))),
            ("sethostname", errno(nix::unistd::sethostname("x"))),
            ("mount", errno(nix::mount::umount2("/nowhere", nix::mount::MntFlags::MNT_DETACH))),
        ]
    });
    for (call, errno) in refusals {
        assert_eq!(errno, Some(EPERM), "{call}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn raw_calls_are_answered_as_the_table_says() {
    if !is_root_or_skip("raw_calls_are_answered_as_the_table_says") {
        return;
    }
    for (call, arguments, expected) in [
        ("ptrace", "101, 0, 0, 0, 0", EPERM),
        ("io_uring_setup", "425, 4, $b", EPERM),
        ("bpf", "321, 0, $b, 72", EPERM),
        ("userfaultfd", "323, 0", EPERM),
        ("keyctl", "250, 0, -3, 0", EPERM),
        ("perf_event_open", "298, $b, 0, -1, -1, 0", EPERM),
        ("open_by_handle_at", "304, -100, $b, 0", EPERM),
        ("fsopen", "430, $b, 0", EPERM),
        ("clone with a namespace", "56, 0x10000011, 0, 0, 0, 0", EPERM),
        ("clone3", "435, $b, 88", ENOSYS),
        ("a call newer than the table", "999, 0", ENOSYS),
        ("an x32 call", "0x40000000 + 39", ENOSYS),
        ("personality without randomisation", "135, 0x40000", EPERM),
        ("asking for the personality", "135, 0xffffffff", 0),
        ("a raw socket", "41, 2, 3, 1", EPERM),
        ("a packet socket", "41, 17, 3, 0", EPERM),
        ("a socket of the kernel's cryptography", "41, 38, 5, 0", EPERM),
        ("a netfilter socket", "41, 16, 3, 12", EPERM),
        ("a route socket", "41, 16, 3, 0", 0),
        ("an ordinary socket", "41, 10, 0x80801, 6", 0),
        ("a filter with a listener", "317, 1, 8, $b", EPERM),
        ("asking for a filter's sizes", "317, 3, 0, $b", 0),
        ("getpid", "39", 0),
    ] {
        assert_eq!(errno(arguments), expected, "{call}");
    }
}

#[test]
fn typing_into_a_terminal_and_making_devices_are_refused() {
    if !is_root_or_skip("typing_into_a_terminal_and_making_devices_are_refused") {
        return;
    }
    // Standard input is no terminal: a call the filter passed would fail with ENOTTY, 25.
    let ioctl = |number: &str| {
        script(&format!("perl -e 'ioctl(STDIN, {number}, my $b = q(x) x 64); print $!+0' </dev/null")).1
    };
    assert_eq!(ioctl("0x5412"), EPERM.to_string());
    assert_eq!(ioctl("0x541c"), EPERM.to_string());
    assert_eq!(ioctl("0x5413"), "25");
    let (made, told) = script("mknod node c 1 3");
    assert!(!made && told.contains("not permitted"), "{told}");
    let (made, told) = script("mkfifo pipe && test -p pipe");
    assert!(made, "{told}");
}

/// An executable of this machine code alone (elf(5)), so that no compiler is needed.
#[cfg(target_arch = "x86_64")]
fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // An executable for x86-64, format version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, no section headers.
    file.extend([BASE + HEADERS, 64, 0].map(u64::to_le_bytes).concat());
    // Flags, and the sizes and counts of the headers.
    file.extend([0_u16, 0, 64, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    // One segment, to be loaded, readable and executable: offset, addresses, sizes, alignment.
    file.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    file.extend([0, BASE, BASE, size, size, 0x1000].map(u64::to_le_bytes).concat());
    file.extend(code);
    file
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_foreign_architecture_is_killed() {
    if !is_root_or_skip("a_foreign_architecture_is_killed") {
        return;
    }
    // 64-bit code that enters through the 32-bit gate: exit(0) there would end it well, and exit(3) after it.
    let code = b"\xb8\x01\0\0\0\x31\xdb\xcd\x80\xb8\x3c\0\0\0\xbf\x03\0\0\0\x0f\x05";
    let octal: String = program(code).iter().map(|byte| format!("\\{byte:03o}")).collect();
    let (_, told) = script(&format!("printf '{octal}' > a; chmod +x a; set +e; ./a; echo status $?"));
    assert!(told.contains("status 159"), "SIGSYS was expected: {told}");
}

#[test]
fn ordinary_programs_run() {
    if !is_root_or_skip("ordinary_programs_run") {
        return;
    }
    let programs = [
        ("sh", "echo one | cat; (sleep 0.01 & wait)"),
        (
            "tar",
            "mkdir a; echo x > a/b; ln -s b a/c; tar --xattrs -czf a.tgz a; rm -r a; tar --xattrs -xzpf a.tgz; cat a/c",
        ),
        (
            "git",
            "git init -q .; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; git gc -q; git log --oneline",
        ),
        ("cc", "echo 'int main(void){return 0;}' > a.c; cc -O2 -pthread a.c -o a; ./a"),
        ("perl", "perl -e 'fork || exit 0; wait; print join q(,), stat q(.)'"),
        (
            "python3",
            "python3 -c 'import threading, subprocess, asyncio, tempfile, multiprocessing as m, socket\n\
             t = threading.Thread(target=print); t.start(); t.join()\n\
             subprocess.run([\"true\"], check=True); m.Lock(); tempfile.mkdtemp()\n\
             asyncio.run(asyncio.sleep(0)); socket.socket(); socket.socketpair()'",
        ),
        (
            "node",
            "node -e 'require(\"fs\").readFileSync(\"/etc/passwd\"); require(\"child_process\").execSync(\"true\")'",
        ),
        ("java", "java -version"),
        ("go", "go version; go env GOROOT"),
        ("nginx", "nginx -v"),
        ("ruby", "ruby -e 'Thread.new { 1 }.join; system(\"true\") or exit 1'"),
        ("apt-get", "apt-get --version; dpkg --print-architecture; apt-cache policy libc6"),
        ("gpg", "gpg --version"),
        ("rsync", "mkdir a b; echo x > a/f; rsync -a a/ b/; cat b/f"),
        ("cargo", "rustc --version"),
    ];
    let mut ran = 0;
    for (program, text) in programs {
        if !script(&format!("command -v {program}")).0 {
            continue;
        }
        ran += 1;
        let (done, told) = script(text);
        assert!(done, "{program}: {told}");
    }
    if ran < 5 {
        skip("ordinary_programs_run", "fewer than five of the programs are installed");
    }
}

#[test]
fn an_empty_program_is_refused_by_the_kernel() {
    let error: Error = install(&[]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(22));
}
