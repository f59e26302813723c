//! Rules about devices on version 2 control groups: a small program of the kernel's (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`) that is
//! asked whenever a device file is opened or made.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Access bits (`BPF_DEVCG_ACC_*`): making a device file.
pub const MAKE: u32 = 1;
/// Reading.
pub const READ: u32 = 2;
/// Writing.
pub const WRITE: u32 = 4;

/// Whom a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Devices of both kinds; on version 1 this is a rule without numbers and with all access.
    Any,
    /// Block devices.
    Block,
    /// Character devices.
    Character,
}

/// One rule; of several that fit the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows.
    pub allow: bool,
    /// Which kind.
    pub kind: DeviceKind,
    /// Which major number; all without.
    pub major: Option<u32>,
    /// Which minor number; all without.
    pub minor: Option<u32>,
    /// Access bits.
    pub access: u32,
}

/// An instruction of the kernel's eBPF, laid out as `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Instruction codes and commands as linux/bpf.h and linux/bpf_common.h have them.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const AND_CONSTANT: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;

/// The part of `union bpf_attr` that loading takes.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The part that attaching takes.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// What becomes of the rules that a group has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// They stay, and both must allow. The kernel holds 64 such programs for a group.
    Stay,
    /// They are replaced; groups below this one cannot have rules of their own.
    Go,
}

/// Puts rules in force for a group and those in it, beside those of the groups above it. What no rule fits is denied.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`), or where a group above allows no rules below it; `EINVAL` or
/// `ENOSYS` where the kernel has no such programs.
pub fn attach(group: &impl AsFd, rules: &[Rule], earlier: Earlier) -> io::Result<()> {
    let loaded = load(rules)?;
    let number = |fd: i32| u32::try_from(fd).unwrap_or(u32::MAX);
    let request = Attach {
        target: number(group.as_fd().as_raw_fd()),
        program: number(loaded.as_raw_fd()),
        kind: ATTACH_CGROUP_DEVICE,
        flags: match earlier {
            Earlier::Stay => ALLOW_MULTI,
            Earlier::Go => 0,
        },
        replaced: 0,
    };
    // SAFETY: `request` is laid out as the kernel's union up to the size given; nothing is pointed to.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const request, size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this kernel takes such rules from us, found by handing it some that are in force nowhere.
///
/// # Errors
/// As `attach`.
pub fn try_out() -> io::Result<()> {
    load(&[]).map(drop)
}

fn load(rules: &[Rule]) -> io::Result<OwnedFd> {
    let program = program(rules);
    let request = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
        name: *b"dyno_devices\0\0\0\0",
    };
    // SAFETY: `request` is laid out as the kernel's union up to the size given; what it points to lives through the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const request, size_of::<Load>()) };
    let loaded = i32::try_from(loaded).unwrap_or(-1);
    if loaded < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor of the kernel's, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(loaded) })
}

/// From the last rule back, the first that fits answers. Register 1 holds the question (`struct bpf_cgroup_dev_ctx`).
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let op = |code, destination: u8, source: u8, offset, immediate| Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    };
    // 2: kind, 3: access, 4: major, 5: minor.
    let mut program = vec![
        op(LOAD_WORD, 2, 1, 0, 0),
        op(MOVE, 3, 2, 0, 0),
        op(AND_CONSTANT, 2, 0, 0, 0xffff),
        op(SHIFT_RIGHT, 3, 0, 0, 16),
        op(LOAD_WORD, 4, 1, 4, 0),
        op(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut tests = Vec::new();
        match rule.kind {
            DeviceKind::Any => {}
            DeviceKind::Block => tests.push((2, KIND_BLOCK)),
            DeviceKind::Character => tests.push((2, KIND_CHARACTER)),
        }
        let number = |n: u32| n.cast_signed();
        tests.extend(rule.major.map(|major| (4, number(major))));
        tests.extend(rule.minor.map(|minor| (5, number(minor))));
        // What a rule allows must hold all that is asked for; what it denies, any of it.
        let is_partial = rule.access != MAKE | READ | WRITE;
        let length = tests.len() + if is_partial { 3 } else { 0 } + 2;
        let skip = |done: usize| i16::try_from(length - done - 1).unwrap_or(i16::MAX);
        for (done, (register, value)) in tests.iter().enumerate() {
            program.push(op(JUMP_NOT_EQUAL, *register, 0, skip(done), *value));
        }
        if is_partial {
            let done = tests.len() + 2;
            let mask = if rule.allow { !rule.access & 7 } else { rule.access };
            program.push(op(MOVE, 0, 3, 0, 0));
            program.push(op(AND_CONSTANT, 0, 0, 0, mask.cast_signed()));
            let code = if rule.allow { JUMP_NOT_EQUAL } else { JUMP_EQUAL };
            program.push(op(code, 0, 0, skip(done), 0));
        }
        program.push(op(MOVE_CONSTANT, 0, 0, 0, i32::from(rule.allow)));
        program.push(op(EXIT, 0, 0, 0, 0));
        if tests.is_empty() && !is_partial {
            // It fits whatever is asked. Linux 6.1 takes no program with instructions that nothing leads to.
            return program;
        }
    }
    program.extend([op(MOVE_CONSTANT, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nothing_follows_a_rule_that_fits_everything() {
        let of = |kind, allow| Rule { kind, major: None, minor: None, access: READ | WRITE | MAKE, allow };
        let all = of(DeviceKind::Any, true);
        let (alone, after_others) = (program(&[all]), program(&[of(DeviceKind::Block, false), all]));
        assert_eq!(alone.len(), after_others.len(), "earlier rules are never asked");
        let with_exception = program(&[all, of(DeviceKind::Block, false)]);
        assert_eq!(with_exception.len(), alone.len() + 3, "a test and an answer before it");
    }
}
