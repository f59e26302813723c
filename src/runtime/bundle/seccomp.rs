//! System call filters as a configuration describes them (runtime-spec, "Seccomp"): any default, several actions, tests of arguments,
//! several architectures. The hardened profile of `runtime::seccomp` has one shape; these have all.
//!
//! One program: for each architecture a binary search over the numbers, so that a long list costs a call few instructions; at its leaves
//! the tests of arguments in the order in which they are listed, then the default.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use super::plan::refused;
use crate::runtime::plan::PlanError;
use crate::runtime::seccomp::numbers::{self, Architecture};
use crate::sys::seccomp::{Flags, Instruction};

/// A program, and how it is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The program. Calls that an agent decides on are allowed in it.
    pub program: Vec<Instruction>,
    /// How.
    pub flags: Flags,
    /// What is passed on to an agent.
    pub notices: Option<Notices>,
}

/// A program for the calls that an agent decides on, everything else allowed. Of two programs the kernel takes the stricter answer, so
/// this one can be there before the one that forbids calls which the container's process still has to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notices {
    /// The program.
    pub program: Vec<Instruction>,
    /// How it is to be installed.
    pub flags: Flags,
}

/// The errno of a refused call where none is given (`EPERM`), part of the kernel's interface.
const EPERM: u32 = 1;
/// Largest errno that a filter can answer with (`MAX_ERRNO`).
const ERRNO_MAX: u32 = 4095;
/// Set in the numbers of x32 calls.
const X32_BIT: u32 = 0x4000_0000;
/// x32 calls from here to `X32_OWN_END` have numbers of their own.
const X32_OWN: u32 = 512;
const X32_OWN_END: u32 = 547;
/// Longest program the kernel takes (`BPF_MAXINSNS`).
const PROGRAM_MAX: usize = 4096;

// Classic BPF as the kernel's headers linux/bpf_common.h and linux/seccomp.h have it.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;
const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
const RETURN_NOTIFY: u32 = 0x7fc0_0000;
const RETURN_ALLOW: u32 = 0x7fff_0000;
/// The call by which the container's process hands the agent's descriptor over, while nobody answers yet.
const HANDS_OVER: &str = "sendmsg";

/// Compiles a configuration's filter.
///
/// # Errors
/// `PlanError` for what no filter can do, or this runtime does not.
pub fn compile(wanted: &LinuxSeccomp) -> Result<Filter, PlanError> {
    let mut notices = None;
    if notifies(wanted) {
        check_agent(wanted)?;
        let waits = LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv;
        let does_wait = wanted.flags().iter().flatten().any(|flag| *flag == waits);
        let waiting = if does_wait { Flags::WAIT_KILLABLE } else { Flags::default() };
        notices =
            Some(Notices { program: program(wanted, View::Notices)?, flags: flags(wanted).and(waiting) });
    }
    Ok(Filter { program: program(wanted, View::Answers)?, flags: flags(wanted), notices })
}

/// Whether an agent is to decide on any call.
pub(super) fn notifies(wanted: &LinuxSeccomp) -> bool {
    let listed = wanted.syscalls().iter().flatten().map(LinuxSyscall::action);
    listed.chain([wanted.default_action()]).any(|action| action == LinuxSeccompAction::ScmpActNotify)
}

fn check_agent(wanted: &LinuxSeccomp) -> Result<(), PlanError> {
    let path = wanted.listener_path().as_ref().ok_or(PlanError::Missing(
        "linux.seccomp.listenerPath, the socket of the agent that SCMP_ACT_NOTIFY asks",
    ))?;
    if !path.is_absolute() {
        return Err(refused("linux.seccomp.listenerPath", &path.display(), "give an absolute path"));
    }
    for target in architectures(wanted)?.into_iter().take(1) {
        let rules = rules(wanted.syscalls().as_deref().unwrap_or_default(), target)?;
        let entries = numbers::all(target.architecture).get(HANDS_OVER).and_then(|number| rules.get(number));
        let entries = entries.map(Vec::as_slice).unwrap_or_default();
        let reaches_default = !entries.iter().any(|(tests, _)| tests.is_empty());
        let default = answer(wanted.default_action(), wanted.default_errno_ret())?;
        let answers = entries.iter().map(|(_, answer)| *answer);
        if answers.chain(reaches_default.then_some(default)).any(|answer| answer == RETURN_NOTIFY) {
            return Err(refused(
                "SCMP_ACT_NOTIFY for the system call",
                &HANDS_OVER,
                "the runtime itself makes it to give the agent its descriptor, and nobody would answer: list it with another action",
            ));
        }
    }
    Ok(())
}

/// Which part of a filter a program has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// All but what an agent decides on.
    Answers,
    /// That alone.
    Notices,
}

impl View {
    fn of(self, answer: u32) -> u32 {
        if (answer == RETURN_NOTIFY) == (self == View::Notices) { answer } else { RETURN_ALLOW }
    }
}

fn program(wanted: &LinuxSeccomp, view: View) -> Result<Vec<Instruction>, PlanError> {
    let default = view.of(answer(wanted.default_action(), wanted.default_errno_ret())?);
    let foreign = view.of(RETURN_KILL_PROCESS);
    let mut program = vec![load(OFFSET_ARCHITECTURE)];
    for target in architectures(wanted)? {
        let Target { architecture, has_x32 } = target;
        let mut rules = rules(wanted.syscalls().as_deref().unwrap_or_default(), target)?;
        rules.values_mut().flatten().for_each(|(_, answer)| *answer = view.of(*answer));
        let mut body = vec![load(OFFSET_NUMBER)];
        if architecture == Architecture::X86_64 && !has_x32 {
            // The other calling convention of the same architecture is an architecture that was not listed.
            body.extend([jump(JUMP_GREATER_EQUAL, X32_BIT, 0, 1), give(foreign)]);
        }
        search(&mut body, &stretches(&rules, default), default);
        program.push(jump(JUMP_EQUAL, architecture.audit_number(), 1, 0));
        program.push(jump_far(body.len()));
        program.extend(body);
    }
    program.push(give(foreign));
    if program.len() > PROGRAM_MAX {
        return Err(refused(
            "the system call filter",
            &program.len(),
            "it has more instructions than the kernel takes: list fewer calls",
        ));
    }
    Ok(program)
}

/// A numbering of calls that a filter knows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Target {
    architecture: Architecture,
    /// Whether the other calling convention of the same architecture is listed too.
    has_x32: bool,
}

fn architectures(wanted: &LinuxSeccomp) -> Result<Vec<Target>, PlanError> {
    let native = Architecture::native()
        .ok_or(PlanError::Missing("a processor architecture with a table of system calls"))?;
    let listed = wanted.architectures().as_deref().unwrap_or_default();
    let has_x32 = listed.contains(&Arch::ScmpArchX32);
    let mut all = vec![Target { architecture: native, has_x32 }];
    // Others are never met on a processor that has a table here.
    let known = [
        (Arch::ScmpArchX86_64, Architecture::X86_64),
        (Arch::ScmpArchX86, Architecture::X86),
        (Arch::ScmpArchAarch64, Architecture::Aarch64),
    ];
    for (arch, architecture) in known {
        if listed.contains(&arch) && architecture != native {
            all.push(Target { architecture, has_x32 });
        }
    }
    Ok(all)
}

/// What is done with one call: the first entry whose tests all hold counts.
type Entries = Vec<(Vec<LinuxSeccompArg>, u32)>;

fn rules(syscalls: &[LinuxSyscall], target: Target) -> Result<BTreeMap<u32, Entries>, PlanError> {
    let mut rules: BTreeMap<u32, Entries> = BTreeMap::new();
    for syscall in syscalls {
        let answer = answer(syscall.action(), syscall.errno_ret())?;
        let tests = syscall.args().clone().unwrap_or_default();
        if let Some(test) = tests.iter().find(|test| test.index() > 5) {
            return Err(refused(
                "the argument index of a system call test",
                &test.index(),
                "calls have arguments 0 to 5",
            ));
        }
        for name in syscall.names() {
            // A name that this architecture does not have is skipped, as the specification asks.
            let Some(number) = numbers::all(target.architecture).get(name.as_str()) else { continue };
            for number in both(*number, target) {
                rules.entry(number).or_default().extend(alternatives(&tests).map(|tests| (tests, answer)));
            }
        }
    }
    Ok(rules)
}

fn both(number: u32, Target { architecture, has_x32 }: Target) -> impl Iterator<Item = u32> {
    let is_own = (X32_OWN..=X32_OWN_END).contains(&number);
    let other = (architecture == Architecture::X86_64 && has_x32 && !is_own).then_some(number | X32_BIT);
    std::iter::once(number).chain(other)
}

/// Tests of different arguments must hold together; several tests of one argument are alternatives (runtime-spec, `args`).
fn alternatives(tests: &[LinuxSeccompArg]) -> impl Iterator<Item = Vec<LinuxSeccompArg>> {
    let is_repeated =
        |test: &LinuxSeccompArg| tests.iter().filter(|other| other.index() == test.index()).count() > 1;
    let split = tests.iter().any(is_repeated);
    let lists: Vec<_> =
        if split { tests.iter().map(|test| vec![*test]).collect() } else { vec![tests.to_vec()] };
    lists.into_iter()
}

fn answer(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, PlanError> {
    match action {
        LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace => {
            let errno = errno.unwrap_or(EPERM);
            if errno > ERRNO_MAX {
                return Err(refused("errnoRet", &errno, "give a number from 0 to 4095"));
            }
            Ok(action.as_u32(Some(errno)))
        }
        LinuxSeccompAction::ScmpActKill
        | LinuxSeccompAction::ScmpActKillThread
        | LinuxSeccompAction::ScmpActKillProcess
        | LinuxSeccompAction::ScmpActTrap
        | LinuxSeccompAction::ScmpActLog
        | LinuxSeccompAction::ScmpActNotify
        | LinuxSeccompAction::ScmpActAllow => match errno {
            Some(errno) if errno != 0 => {
                Err(refused("errnoRet", &errno, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one"))
            }
            _ => Ok(action.as_u32(None)),
        },
    }
}

fn flags(wanted: &LinuxSeccomp) -> Flags {
    let mut flags = Flags::default();
    for flag in wanted.flags().iter().flatten() {
        match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => flags = flags.and(Flags::LOG),
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flags = flags.and(Flags::SPECULATE),
            // The process has one thread; the other is for an agent's program alone.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync
            | LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {}
        }
    }
    flags
}

/// The calls from one number to the next entry's, which all get the same.
struct Stretch<'a> {
    from: u32,
    what: What<'a>,
}

#[derive(PartialEq)]
enum What<'a> {
    Answer(u32),
    Tests(&'a Entries),
}

/// All numbers as stretches, so that a list of neighbours costs no more than one call.
fn stretches(rules: &BTreeMap<u32, Entries>, default: u32) -> Vec<Stretch<'_>> {
    let mut all: Vec<Stretch<'_>> = vec![Stretch { from: 0, what: What::Answer(default) }];
    for (number, entries) in rules {
        match entries.first() {
            Some((tests, answer)) if tests.is_empty() => add(&mut all, *number, What::Answer(*answer)),
            _ => add(&mut all, *number, What::Tests(entries)),
        }
        if !rules.contains_key(&(number + 1)) {
            add(&mut all, number + 1, What::Answer(default));
        }
    }
    all
}

fn add<'a>(all: &mut Vec<Stretch<'a>>, from: u32, what: What<'a>) {
    match all.last_mut() {
        Some(last) if last.from == from => last.what = what,
        Some(last) if last.what == what => {}
        _ => all.push(Stretch { from, what }),
    }
}

/// A balanced search for the number in the accumulator; every way through ends in an answer.
fn search(program: &mut Vec<Instruction>, stretches: &[Stretch<'_>], default: u32) {
    match stretches {
        [] => program.push(give(default)),
        [Stretch { what: What::Answer(answer), .. }] => program.push(give(*answer)),
        [Stretch { what: What::Tests(entries), .. }] => tests(program, entries, default),
        _ => {
            let (low, high) = stretches.split_at(stretches.len() / 2);
            let mut lower = Vec::new();
            search(&mut lower, low, default);
            let border = high.first().map_or(0, |stretch| stretch.from);
            match u8::try_from(lower.len()) {
                Ok(near) => program.push(jump(JUMP_GREATER_EQUAL, border, near, 0)),
                Err(_) => program.extend([jump(JUMP_GREATER_EQUAL, border, 0, 1), jump_far(lower.len())]),
            }
            program.extend(lower);
            search(program, high, default);
        }
    }
}

fn tests(program: &mut Vec<Instruction>, entries: &Entries, default: u32) {
    for (tests, answer) in entries {
        if tests.is_empty() {
            program.push(give(*answer));
            return;
        }
        // From the last test back, because each must know how far it is to the next entry.
        let mut body = vec![give(*answer)];
        for test in tests.iter().rev() {
            let mut longer = comparison(test, body.len());
            longer.extend(body);
            body = longer;
        }
        program.extend(body);
    }
    program.push(give(default));
}

/// Falls through if the test holds; otherwise skips `rest` instructions behind it.
fn comparison(test: &LinuxSeccompArg, rest: usize) -> Vec<Instruction> {
    let at = OFFSET_ARGUMENTS + u32::try_from(test.index()).unwrap_or(0) * 8;
    // Both architectures here keep the lower half first.
    let (low_at, high_at) = (at, at + 4);
    let value = test.value();
    let (low, high) = halves(value);
    use LinuxSeccompOperator as Op;
    match test.op() {
        Op::ScmpCmpEq => equal(low_at, high_at, (u32::MAX, u32::MAX), (low, high), rest),
        Op::ScmpCmpMaskedEq => {
            let wanted = halves(test.value_two().unwrap_or(0) & value);
            equal(low_at, high_at, (low, high), wanted, rest)
        }
        Op::ScmpCmpNe => vec![
            load(high_at),
            // A different upper half settles it: on to the answer.
            jump(JUMP_EQUAL, high, 0, 2),
            load(low_at),
            short(JUMP_EQUAL, low, rest, Way::FailIfTrue),
        ],
        Op::ScmpCmpGt => {
            ordered((low_at, high_at), (low, high), (JUMP_GREATER, Way::FailIfFalse), JUMP_GREATER, rest)
        }
        Op::ScmpCmpGe => ordered(
            (low_at, high_at),
            (low, high),
            (JUMP_GREATER_EQUAL, Way::FailIfFalse),
            JUMP_GREATER,
            rest,
        ),
        Op::ScmpCmpLt => below(low_at, high_at, (low, high), JUMP_GREATER_EQUAL, rest),
        Op::ScmpCmpLe => below(low_at, high_at, (low, high), JUMP_GREATER, rest),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    FailIfTrue,
    FailIfFalse,
}

/// A test whose failure jumps over the rest of its entry. Entries have at most six tests of at most six instructions, so this is never far.
fn short(code: u16, k: u32, rest: usize, way: Way) -> Instruction {
    let over = u8::try_from(rest).unwrap_or(u8::MAX);
    match way {
        Way::FailIfTrue => jump(code, k, over, 0),
        Way::FailIfFalse => jump(code, k, 0, over),
    }
}

fn equal(
    low_at: u32,
    high_at: u32,
    mask: (u32, u32),
    (low, high): (u32, u32),
    rest: usize,
) -> Vec<Instruction> {
    let masked = |at: u32, mask: u32| {
        let mut load = vec![load(at)];
        if mask != u32::MAX {
            load.push(Instruction { code: AND, jt: 0, jf: 0, k: mask });
        }
        load
    };
    let mut second = masked(low_at, mask.0);
    second.push(short(JUMP_EQUAL, low, rest, Way::FailIfFalse));
    let mut first = masked(high_at, mask.1);
    first.push(short(JUMP_EQUAL, high, rest + second.len(), Way::FailIfFalse));
    first.extend(second);
    first
}

/// Above (or at) the value: an upper half above settles it, an equal one leaves it to the lower half.
fn ordered(
    (low_at, high_at): (u32, u32),
    (low, high): (u32, u32),
    (lower_code, way): (u16, Way),
    upper_code: u16,
    rest: usize,
) -> Vec<Instruction> {
    vec![
        load(high_at),
        jump(upper_code, high, 3, 0),
        short(JUMP_EQUAL, high, rest + 2, Way::FailIfFalse),
        load(low_at),
        short(lower_code, low, rest, way),
    ]
}

/// Below (or at) the value: `lower_code` is what must not hold of the lower half.
fn below(
    low_at: u32,
    high_at: u32,
    (low, high): (u32, u32),
    lower_code: u16,
    rest: usize,
) -> Vec<Instruction> {
    vec![
        load(high_at),
        short(JUMP_GREATER, high, rest + 3, Way::FailIfTrue),
        jump(JUMP_EQUAL, high, 0, 2),
        load(low_at),
        short(lower_code, low, rest, Way::FailIfTrue),
    ]
}

fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
    (low, u32::try_from(value >> 32).unwrap_or(0))
}

fn load(at: u32) -> Instruction {
    Instruction { code: LOAD, jt: 0, jf: 0, k: at }
}

fn give(answer: u32) -> Instruction {
    Instruction { code: RETURN, jt: 0, jf: 0, k: answer }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn jump_far(length: usize) -> Instruction {
    Instruction { code: JUMP, jt: 0, jf: 0, k: u32::try_from(length).unwrap_or(u32::MAX) }
}

#[cfg(test)]
#[path = "seccomp_test.rs"]
mod test;
