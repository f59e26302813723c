//! From verdicts by number to one program in the shape of a balanced tree.
//!
//! The kernel walks a new filter once for each number it knows, to note which of them always pass (`seccomp_cache_prepare`); a list of
//! tests makes that quadratic, and it is done at every start of a container.

use crate::sys::seccomp::Instruction;

// Classic BPF as the kernel's header linux/bpf_common.h has it.
/// Load a 32-bit word at an offset.
const LOAD: u16 = 0x20;
/// Jump on.
const JUMP: u16 = 0x05;
/// Jump if equal to the constant.
const JUMP_EQUAL: u16 = 0x15;
/// Jump if the constant or more.
const JUMP_FROM: u16 = 0x35;
/// Return the constant.
pub(super) const RETURN: u16 = 0x06;
/// Offset of the call's number in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
/// Offset of the architecture in it.
const OFFSET_ARCHITECTURE: u32 = 4;
const RETURN_KILL: u32 = 0x8000_0000;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This is returned.
    Return(u32),
    /// A whole program decides, whose every path ends in a return.
    Ask(Vec<Instruction>),
}

/// Numbers from this one on, up to the next range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: u32,
    pub(super) verdict: Verdict,
}

/// The program: a foreign architecture is killed, else the range decides in which the number lies. `ranges` begin at 0 and ascend.
pub(super) fn program(audit_number: u32, ranges: &[Range]) -> Vec<Instruction> {
    let mut program = vec![
        statement(LOAD, OFFSET_ARCHITECTURE),
        Instruction { code: JUMP_EQUAL, jt: 1, jf: 0, k: audit_number },
        statement(RETURN, RETURN_KILL),
        statement(LOAD, OFFSET_NUMBER),
    ];
    program.extend(tree(ranges));
    program
}

fn tree(ranges: &[Range]) -> Vec<Instruction> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let Some(middle) = right.first().filter(|_| !left.is_empty()) else {
        return ranges.first().map_or_else(Vec::new, |range| leaf(&range.verdict));
    };
    let below = tree(left);
    let mut program = match u8::try_from(below.len()) {
        Ok(length) => vec![Instruction { code: JUMP_FROM, jt: length, jf: 0, k: middle.from }],
        // Too far for a test: it chooses between two ways on.
        Err(_) => vec![
            Instruction { code: JUMP_FROM, jt: 0, jf: 1, k: middle.from },
            statement(JUMP, u32::try_from(below.len()).unwrap_or(u32::MAX)),
        ],
    };
    program.extend(below);
    program.extend(tree(right));
    program
}

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Return(value) => vec![statement(RETURN, *value)],
        Verdict::Ask(program) => program.clone(),
    }
}

fn statement(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}
