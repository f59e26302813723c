//! From the profile's data to the kernel's classic BPF.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::Programs;
use super::numbers::{self, Architecture};
use super::profile::{ALLOWED, Answer, CHECKED, Checked, Operation, REFUSED, Test, Width};
use crate::sys::seccomp::Instruction;

/// The errno of a refused call (`EPERM`), part of the kernel's interface.
const EPERM: u32 = 1;
/// The errno of a call that looks absent (`ENOSYS`).
const ENOSYS: u32 = 38;

/// Why a filter could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// There is no table of numbers.
    #[error(
        "no system call filter is written for processors of the kind {}; x86_64 and aarch64 have one",
        std::env::consts::ARCH
    )]
    Architecture,
    /// The profile names a call no table knows.
    #[error("the system call profile names '{name}', which is no system call")]
    UnknownCall {
        /// The name.
        name: String,
    },
    /// The compiler refused what it was given.
    #[error("the system call profile could not be compiled: {reason}")]
    Compile {
        /// Its words.
        reason: String,
    },
}

/// Both programs for the architecture.
///
/// # Errors
/// See `SeccompError`.
pub fn compile(architecture: Architecture) -> Result<Programs, SeccompError> {
    Ok(Programs(vec![list(architecture)?, edges(architecture)?]))
}

/// The allow-list: the profile's named calls pass, the rest is `EPERM`.
fn list(architecture: Architecture) -> Result<Vec<Instruction>, SeccompError> {
    let mut rules = BTreeMap::new();
    for name in ALLOWED.iter().flat_map(|group| group.names.split_whitespace()) {
        if let Some(number) = number(architecture, name)? {
            rules.insert(i64::from(number), Vec::new());
        }
    }
    for checked in CHECKED {
        if let Some(number) = number(architecture, checked.name)? {
            rules.insert(i64::from(number), rules_of(checked)?);
        }
    }
    let target = match architecture {
        Architecture::X86_64 => TargetArch::x86_64,
        Architecture::Aarch64 => TargetArch::aarch64,
        Architecture::X86 => return Err(SeccompError::Architecture),
    };
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(EPERM), SeccompAction::Allow, target)
        .map_err(compile_error)?;
    let program = BpfProgram::try_from(filter).map_err(compile_error)?;
    Ok(program.into_iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect())
}

/// `None`: another architecture has the call, this one does not.
fn number(architecture: Architecture, name: &str) -> Result<Option<u32>, SeccompError> {
    match numbers::all(architecture).get(name) {
        Some(number) => Ok(Some(*number)),
        None if numbers::is_known(name) => Ok(None),
        None => Err(SeccompError::UnknownCall { name: name.to_owned() }),
    }
}

fn rules_of(checked: &Checked) -> Result<Vec<SeccompRule>, SeccompError> {
    let conditions = |tests: &[Test]| tests.iter().map(condition).collect::<Result<Vec<_>, _>>();
    checked.any_of.iter().map(|tests| SeccompRule::new(conditions(tests)?).map_err(compile_error)).collect()
}

fn condition(test: &Test) -> Result<SeccompCondition, SeccompError> {
    let width = match test.width {
        Width::Bits32 => SeccompCmpArgLen::Dword,
        Width::Bits64 => SeccompCmpArgLen::Qword,
    };
    let (operator, value) = match test.operation {
        Operation::Is(value) => (SeccompCmpOp::Eq, value),
        Operation::IsNot(value) => (SeccompCmpOp::Ne, value),
        Operation::Masked(mask, value) => (SeccompCmpOp::MaskedEq(mask), value),
    };
    SeccompCondition::new(test.argument, width, operator, value).map_err(compile_error)
}

fn compile_error(error: seccompiler::BackendError) -> SeccompError {
    SeccompError::Compile { reason: error.to_string() }
}

// Classic BPF as the kernel's header linux/bpf_common.h has it.
/// Load a 32-bit word at an offset.
const LOAD: u16 = 0x20;
/// Jump if equal to the constant.
const JUMP_EQUAL: u16 = 0x15;
/// Jump if greater than the constant.
const JUMP_GREATER: u16 = 0x25;
/// Return the constant.
const RETURN: u16 = 0x06;
/// Offset of the call's number in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
/// Offset of the architecture in it.
const OFFSET_ARCHITECTURE: u32 = 4;
const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;

/// The edges: absent-looking calls and numbers beyond the table are `ENOSYS`, the rest passes (on to the list).
///
/// A foreign architecture passes too: the list kills it.
fn edges(architecture: Architecture) -> Result<Vec<Instruction>, SeccompError> {
    let mut absent = Vec::new();
    for refusal in REFUSED.iter().filter(|refusal| refusal.answer == Answer::NoSuchCall) {
        for name in refusal.names.split_whitespace() {
            absent.extend(number(architecture, name)?);
        }
    }
    let statement = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let mut program = vec![
        statement(LOAD, OFFSET_ARCHITECTURE),
        Instruction { code: JUMP_EQUAL, jt: 1, jf: 0, k: architecture.audit_number() },
        statement(RETURN, RETURN_ALLOW),
        statement(LOAD, OFFSET_NUMBER),
    ];
    // Each test falls through to the next, or jumps over what is left of them and the final "pass".
    let left = |done: usize| {
        u8::try_from(absent.len() - done + 1).map_err(|_| SeccompError::Compile {
            reason: "too many calls that look absent for one jump".to_owned(),
        })
    };
    program.push(Instruction { code: JUMP_GREATER, jt: left(0)?, jf: 0, k: numbers::NEWEST });
    for (done, number) in absent.iter().enumerate() {
        program.push(Instruction { code: JUMP_EQUAL, jt: left(done + 1)?, jf: 0, k: *number });
    }
    program.push(statement(RETURN, RETURN_ALLOW));
    program.push(statement(RETURN, RETURN_ERRNO | ENOSYS));
    Ok(program)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::runtime::seccomp::profile::ARCHITECTURES;
    use std::collections::BTreeSet;

    fn listed() -> Vec<&'static str> {
        let allowed = ALLOWED.iter().flat_map(|group| group.names.split_whitespace());
        let refused = REFUSED.iter().flat_map(|refusal| refusal.names.split_whitespace());
        allowed.chain(CHECKED.iter().map(|checked| checked.name)).chain(refused).collect()
    }

    #[test]
    fn every_call_of_the_kernel_is_judged_exactly_once() {
        let names = listed();
        let judged: BTreeSet<_> = names.iter().copied().collect();
        let twice: Vec<_> =
            judged.iter().filter(|name| names.iter().filter(|other| other == name).count() > 1).collect();
        assert!(twice.is_empty(), "in more than one group: {twice:?}");
        let known: BTreeSet<_> = ARCHITECTURES
            .iter()
            .flat_map(|architecture| numbers::all(*architecture).keys().copied())
            .collect();
        assert_eq!(known.difference(&judged).collect::<Vec<_>>(), Vec::<&&str>::new(), "not judged");
        assert_eq!(judged.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "no such call");
    }

    #[test]
    fn every_group_says_why() {
        let reasons = ALLOWED.iter().map(|group| group.reason);
        let reasons = reasons.chain(CHECKED.iter().map(|checked| checked.reason));
        for reason in reasons.chain(REFUSED.iter().map(|refusal| refusal.reason)) {
            assert!(reason.split_whitespace().count() >= 3, "'{reason}' is no reason");
        }
    }

    #[test]
    fn programs_are_of_a_sane_size() {
        for architecture in ARCHITECTURES {
            let Programs(programs) = compile(*architecture).unwrap();
            assert_eq!(programs.len(), 2);
            assert!((600..2000).contains(&programs[0].len()), "{} instructions", programs[0].len());
            assert!((8..32).contains(&programs[1].len()), "{} instructions", programs[1].len());
        }
    }

    /// A small interpreter of the instructions used here, so that the answers can be tested for every call
    /// and both architectures without a kernel.
    fn run(program: &[Instruction], data: &[u32; 16]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
            match i.code {
                LOAD => accumulator = data[i.k as usize / 4],
                0x05 => at += i.k as usize,
                JUMP_EQUAL => at += jump(accumulator == i.k),
                JUMP_GREATER => at += jump(accumulator > i.k),
                0x35 => at += jump(accumulator >= i.k),
                0x54 => accumulator &= i.k,
                RETURN => return i.k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    fn answer(architecture: Architecture, number: u32, arguments: &[u64]) -> u32 {
        let mut data = [0; 16];
        (data[0], data[1]) = (number, architecture.audit_number());
        for (at, argument) in arguments.iter().enumerate() {
            data[4 + at * 2] = (argument & 0xffff_ffff) as u32;
            data[5 + at * 2] = (argument >> 32) as u32;
        }
        let Programs(programs) = compile(architecture).unwrap();
        // The lower action value takes precedence; of two equal actions that of the program installed last.
        let results = programs.iter().rev().map(|program| run(program, &data));
        results.min_by_key(|result| result & 0xffff_0000).unwrap()
    }

    const DENIED: u32 = RETURN_ERRNO | EPERM;
    const ABSENT: u32 = RETURN_ERRNO | ENOSYS;

    #[test]
    fn the_programs_answer_as_the_profile_says() {
        for architecture in ARCHITECTURES {
            let numbers = numbers::all(*architecture);
            for name in ALLOWED.iter().flat_map(|group| group.names.split_whitespace()) {
                if let Some(number) = numbers.get(name) {
                    assert_eq!(answer(*architecture, *number, &[]), RETURN_ALLOW, "{name}");
                }
            }
            for refusal in REFUSED {
                let expected = match refusal.answer {
                    Answer::NotPermitted => DENIED,
                    Answer::NoSuchCall => ABSENT,
                };
                for name in refusal.names.split_whitespace() {
                    if let Some(number) = numbers.get(name) {
                        assert_eq!(answer(*architecture, *number, &[]), expected, "{name}");
                    }
                }
            }
            assert_eq!(answer(*architecture, numbers::NEWEST + 1, &[]), ABSENT);
            assert_eq!(answer(*architecture, 0x4000_0000 + numbers["read"], &[]), ABSENT, "x32");
        }
    }

    #[test]
    fn arguments_decide_where_the_profile_says_so() {
        let x86 = |name: &str, arguments: &[u64]| {
            answer(Architecture::X86_64, numbers::all(Architecture::X86_64)[name], arguments)
        };
        assert_eq!(x86("clone", &[0x0100_0011]), RETURN_ALLOW);
        for flag in [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            assert_eq!(x86("clone", &[flag | 17]), DENIED, "{flag:#x}");
        }
        assert_eq!(x86("socket", &[1, 5, 0]), RETURN_ALLOW);
        assert_eq!(x86("socket", &[2, 0o2_004_001, 6]), RETURN_ALLOW, "flags beside the type");
        assert_eq!(x86("socket", &[10, 2, 0]), RETURN_ALLOW);
        assert_eq!(x86("socket", &[16, 3, 0]), RETURN_ALLOW, "route netlink");
        for (family, kind, protocol) in
            [(2, 3, 1), (10, 3, 58), (16, 3, 12), (17, 3, 0), (38, 5, 0), (40, 1, 0)]
        {
            assert_eq!(x86("socket", &[family, kind, protocol]), DENIED, "{family} {kind} {protocol}");
        }
        assert_eq!(x86("socket", &[17 | 1 << 32, 3, 0]), DENIED, "the upper half is no way round");
        assert_eq!(x86("ioctl", &[0, 0x5413]), RETURN_ALLOW);
        assert_eq!(x86("ioctl", &[0, 0x5412]), DENIED);
        assert_eq!(x86("ioctl", &[0, 0x5412 | 1 << 40]), DENIED, "the upper half is no way round");
        assert_eq!(x86("ioctl", &[0, 0x541c]), DENIED);
        assert_eq!(x86("personality", &[0xffff_ffff]), RETURN_ALLOW);
        assert_eq!(x86("personality", &[0x0004_0000]), DENIED);
        assert_eq!(x86("mknodat", &[0, 0, 0o010_644]), RETURN_ALLOW);
        assert_eq!(x86("mknodat", &[0, 0, 0o020_644]), DENIED);
        assert_eq!(x86("mknod", &[0, 0o060_644]), DENIED);
    }

    #[test]
    fn a_foreign_architecture_is_killed() {
        let Programs(programs) = compile(Architecture::X86_64).unwrap();
        let mut data = [0; 16];
        (data[0], data[1]) = (3, 0x4000_0003);
        let kill = programs.iter().map(|program| run(program, &data)).any(|result| result == 0x8000_0000);
        assert!(kill);
    }
}
