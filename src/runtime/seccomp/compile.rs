//! From the profile's data to the kernel's classic BPF.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::Programs;
use super::numbers::{self, Architecture};
use super::profile::{ALLOWED, Answer, CHECKED, Checked, Notice, Operation, REFUSED, Refusal, Test, Width};
use super::tree::{self, Range, Verdict};
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

/// Who answers a call that is refused and worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// The kernel, as all others.
    Kernel,
    /// Whoever holds the filter's listener; the kernel with `ENOSYS` where nobody does.
    Listener,
}

/// The program for the architecture.
///
/// # Errors
/// See `SeccompError`.
pub fn compile(architecture: Architecture, answering: Answering) -> Result<Programs, SeccompError> {
    let refused = |notice: Notice| match (notice, answering) {
        (Notice::Told, Answering::Listener) => RETURN_NOTICE,
        (Notice::Told, Answering::Kernel) | (Notice::Silent, _) => RETURN_ERRNO | EPERM,
    };
    let mut verdicts = BTreeMap::new();
    let mut judge = |names: &str, verdict: &dyn Fn(u32) -> Result<Verdict, SeccompError>| {
        for name in names.split_whitespace() {
            if let Some(number) = number(architecture, name)? {
                verdicts.insert(number, verdict(number)?);
            }
        }
        Ok(())
    };
    ALLOWED.iter().try_for_each(|group| judge(group.names, &|_| Ok(Verdict::Return(RETURN_ALLOW))))?;
    for checked in CHECKED {
        let refused = refused(checked.notice);
        judge(checked.name, &|number| check(architecture, number, checked, refused).map(Verdict::Ask))?;
    }
    for Refusal { answer, notice, names, .. } in REFUSED {
        let returned = match answer {
            Answer::NotPermitted => refused(*notice),
            Answer::NoSuchCall => RETURN_ERRNO | ENOSYS,
        };
        judge(names, &|_| Ok(Verdict::Return(returned)))?;
    }
    Ok(Programs(vec![tree::program(architecture.audit_number(), &ranges(verdicts))]))
}

/// Neighbours with one verdict together; what is not named is refused, what is newer than the table (x32 numbers, which have bit
/// 30 set, among it) looks absent.
fn ranges(verdicts: BTreeMap<u32, Verdict>) -> Vec<Range> {
    let refused = Verdict::Return(RETURN_ERRNO | EPERM);
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |from: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|last| last.verdict != verdict) {
            ranges.push(Range { from, verdict });
        }
    };
    let mut next = 0;
    for (number, verdict) in verdicts {
        if number > next {
            add(next, refused.clone());
        }
        add(number, verdict);
        next = number + 1;
    }
    if next <= numbers::NEWEST {
        add(next, refused);
    }
    add(numbers::NEWEST + 1, Verdict::Return(RETURN_ERRNO | ENOSYS));
    ranges
}

/// The program that judges one call by its arguments; of one that does not pass it returns `refused`.
fn check(
    architecture: Architecture,
    number: u32,
    checked: &Checked,
    refused: u32,
) -> Result<Vec<Instruction>, SeccompError> {
    let target = match architecture {
        Architecture::X86_64 => TargetArch::x86_64,
        Architecture::Aarch64 => TargetArch::aarch64,
        Architecture::X86 => return Err(SeccompError::Architecture),
    };
    let rules = BTreeMap::from([(i64::from(number), rules_of(checked)?)]);
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(EPERM), SeccompAction::Allow, target)
        .map_err(compile_error)?;
    let program = BpfProgram::try_from(filter).map_err(compile_error)?;
    // The compiler knows no listeners.
    let is_refusal = |code: u16, k: u32| code == tree::RETURN && k == RETURN_ERRNO | EPERM;
    let own = |i: seccompiler::sock_filter| Instruction {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: if is_refusal(i.code, i.k) { refused } else { i.k },
    };
    Ok(program.into_iter().map(own).collect())
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

/// What a filter returns (linux/seccomp.h).
const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const RETURN_NOTICE: u32 = 0x7fc0_0000;

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
            for answering in [Answering::Kernel, Answering::Listener] {
                let Programs(programs) = compile(*architecture, answering).unwrap();
                assert_eq!(programs.len(), 1);
                assert!((200..1000).contains(&programs[0].len()), "{} instructions", programs[0].len());
            }
        }
    }

    /// A small interpreter of the instructions used here, so that the answers can be tested for every call
    /// and both architectures without a kernel.
    fn run(program: &[Instruction], data: &[u32; 16]) -> u32 {
        walk(program, data).0
    }

    /// The answer, and the instructions on the way to it.
    fn walk(program: &[Instruction], data: &[u32; 16]) -> (u32, usize) {
        let (mut at, mut accumulator, mut steps) = (0, 0, 0);
        loop {
            let i = program[at];
            at += 1;
            steps += 1;
            let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
            match i.code {
                0x20 => accumulator = data[i.k as usize / 4],
                0x05 => at += i.k as usize,
                0x15 => at += jump(accumulator == i.k),
                0x25 => at += jump(accumulator > i.k),
                0x35 => at += jump(accumulator >= i.k),
                0x54 => accumulator &= i.k,
                0x06 => return (i.k, steps),
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    fn answer(architecture: Architecture, number: u32, arguments: &[u64]) -> u32 {
        answered(Answering::Kernel, architecture, number, arguments)
    }

    fn answered(answering: Answering, architecture: Architecture, number: u32, arguments: &[u64]) -> u32 {
        let mut data = [0; 16];
        (data[0], data[1]) = (number, architecture.audit_number());
        for (at, argument) in arguments.iter().enumerate() {
            data[4 + at * 2] = (argument & 0xffff_ffff) as u32;
            data[5 + at * 2] = (argument >> 32) as u32;
        }
        let Programs(programs) = compile(architecture, answering).unwrap();
        run(&programs[0], &data)
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

    /// Whoever holds the listener refuses; what passes, and what is refused besides, is the same with and without one.
    #[test]
    fn only_refusals_worth_telling_go_to_a_listener() {
        for architecture in ARCHITECTURES {
            let told = |name: &str| {
                let refused = REFUSED.iter().any(|refusal| {
                    refusal.notice == Notice::Told && refusal.names.split_whitespace().any(|one| one == name)
                });
                refused || CHECKED.iter().any(|call| call.notice == Notice::Told && call.name == name)
            };
            for (name, number) in numbers::all(*architecture) {
                for arguments in
                    [[0; 6], [u64::MAX; 6], [16, 3, 12, 0, 0, 0], [0x1000_0011, 0x5412, 0, 0, 0, 0]]
                {
                    let alone = answer(*architecture, *number, &arguments);
                    let heard = answered(Answering::Listener, *architecture, *number, &arguments);
                    let expected = if alone == DENIED && told(name) { RETURN_NOTICE } else { alone };
                    assert_eq!(heard, expected, "{name} {arguments:?}");
                }
            }
        }
        assert!(
            REFUSED
                .iter()
                .all(|refusal| refusal.answer == Answer::NotPermitted || refusal.notice == Notice::Silent)
        );
    }

    #[test]
    fn no_program_may_answer_calls_in_the_kernels_place() {
        for architecture in ARCHITECTURES {
            let seccomp = numbers::all(*architecture)["seccomp"];
            for answering in [Answering::Kernel, Answering::Listener] {
                let with = |flags: u64| answered(answering, *architecture, seccomp, &[1, flags, 0x1000]);
                assert_eq!((with(0), with(1 << 5)), (RETURN_ALLOW, RETURN_ALLOW));
                for flags in [1 << 3, 1 << 3 | 1 << 5, 1 << 3 | 1 << 40, u64::MAX] {
                    assert_eq!(with(flags), DENIED, "{flags:#x}");
                }
            }
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
        for (family, kind, protocol) in [
            (2, 3, 1),
            (10, 3, 58),
            (16, 3, 12),
            (17, 3, 0),
            (38, 5, 0),
            (40, 1, 0),
            (2, 1, 132),
            (10, 1, 262),
            (2, 2, 136),
        ] {
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
    fn what_is_not_named_is_refused_and_what_passes_does_so_in_a_few_steps() {
        for architecture in ARCHITECTURES {
            let Programs(programs) = compile(*architecture, Answering::Kernel).unwrap();
            let known: BTreeSet<u32> = numbers::all(*architecture).values().copied().collect();
            for number in 0..=numbers::NEWEST + 600 {
                let mut data = [0; 16];
                (data[0], data[1]) = (number, architecture.audit_number());
                let (answer, steps) = walk(&programs[0], &data);
                assert!(steps < 60, "{number} takes {steps} steps");
                let unknown = if number <= numbers::NEWEST { DENIED } else { ABSENT };
                assert!(known.contains(&number) || answer == unknown, "{number}: {answer:#x}");
            }
        }
    }

    #[test]
    fn a_foreign_architecture_is_killed() {
        let Programs(programs) = compile(Architecture::X86_64, Answering::Kernel).unwrap();
        let mut data = [0; 16];
        (data[0], data[1]) = (3, 0x4000_0003);
        let kill = programs.iter().map(|program| run(program, &data)).any(|result| result == 0x8000_0000);
        assert!(kill);
    }
}
