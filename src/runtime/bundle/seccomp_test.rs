//! Answers of compiled filters, worked out by a small interpreter of classic BPF.

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL: u32 = RETURN_KILL_PROCESS;

fn filter(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

fn run(program: &[Instruction], data: &[u32; 16]) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let i = program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
        match i.code {
            LOAD => accumulator = data[i.k as usize / 4],
            JUMP => at += i.k as usize,
            JUMP_EQUAL => at += jump(accumulator == i.k),
            JUMP_GREATER => at += jump(accumulator > i.k),
            JUMP_GREATER_EQUAL => at += jump(accumulator >= i.k),
            AND => accumulator &= i.k,
            RETURN => return i.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn ask(wanted: &LinuxSeccomp, arch: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut data = [0; 16];
    (data[0], data[1]) = (number, arch);
    for (at, argument) in arguments.iter().enumerate() {
        (data[4 + at * 2], data[5 + at * 2]) = halves(*argument);
    }
    run(&compile(wanted).unwrap().program, &data)
}

fn native() -> (Architecture, u32) {
    let native = Architecture::native().unwrap();
    (native, native.audit_number())
}

fn call(wanted: &LinuxSeccomp, name: &str, arguments: &[u64]) -> u32 {
    let (native, audit) = native();
    ask(wanted, audit, numbers::all(native)[name], arguments)
}

#[test]
fn several_actions_live_in_one_filter() {
    let wanted = filter(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getppid"], "action": "SCMP_ACT_TRAP"},
            {"names": ["syslog"], "action": "SCMP_ACT_LOG"},
            {"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let answers = ["read", "write", "close", "clone3", "ptrace", "getppid", "syslog"];
    assert_eq!(
        answers.map(|name| call(&wanted, name, &[])),
        [ALLOW, ALLOW, ERRNO | 38, ERRNO | 22, KILL, 0x0003_0000, 0x7ffc_0000]
    );
    assert_eq!(ask(&wanted, native().1, 9999, &[]), ERRNO | 38);
}

#[test]
fn every_call_of_a_long_list_gets_its_answer() {
    let (native, audit) = native();
    let names: Vec<_> = numbers::all(native).keys().step_by(2).collect();
    let wanted = filter(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": {names:?}, "action": "SCMP_ACT_ALLOW"}}]}}"#
    ));
    for (name, number) in numbers::all(native) {
        let expected = if names.contains(&name) { ALLOW } else { ERRNO | 1 };
        assert_eq!(ask(&wanted, audit, *number, &[]), expected, "{name}");
    }
}

#[test]
fn arguments_are_compared_in_all_their_64_bits() {
    let with = |op: &str, value: u64, two: u64| {
        filter(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["kill"], "action": "SCMP_ACT_ALLOW",
                "args": [{{"index": 1, "value": {value}, "valueTwo": {two}, "op": "{op}"}}]}}]}}"#
        ))
    };
    let value = 0x5_0000_0007;
    let around = [0, 7, 0x4_ffff_ffff, 0x5_0000_0006, value, 0x5_0000_0008, 0x6_0000_0000, u64::MAX];
    for argument in around {
        let cases: [(&str, bool); 6] = [
            ("SCMP_CMP_NE", argument != value),
            ("SCMP_CMP_LT", argument < value),
            ("SCMP_CMP_LE", argument <= value),
            ("SCMP_CMP_EQ", argument == value),
            ("SCMP_CMP_GE", argument >= value),
            ("SCMP_CMP_GT", argument > value),
        ];
        for (op, expected) in cases {
            let allowed = call(&with(op, value, 0), "kill", &[0, argument]) == ALLOW;
            assert_eq!(allowed, expected, "{op} {argument:#x}");
        }
        let mask = 0xff_0000_00ff;
        let masked = call(&with("SCMP_CMP_MASKED_EQ", mask, value), "kill", &[0, argument]) == ALLOW;
        assert_eq!(masked, argument & mask == value, "masked {argument:#x}");
    }
}

#[test]
fn tests_of_different_arguments_hold_together_and_of_one_are_alternatives() {
    let wanted = filter(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    assert_eq!(call(&wanted, "socket", &[2, 1]), ALLOW);
    assert_eq!(call(&wanted, "socket", &[2, 3]), ERRNO | 1);
    assert_eq!(call(&wanted, "socket", &[1, 1]), ERRNO | 1);
    assert_eq!([0, 8, 1].map(|n| call(&wanted, "personality", &[n]) == ALLOW), [true, true, false]);
}

#[test]
fn architectures_that_are_not_listed_are_killed() {
    let without = filter(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    let with = filter(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let old = Architecture::X86.audit_number();
    assert_eq!(ask(&without, old, 3, &[]), KILL);
    assert_eq!((ask(&with, old, 3, &[]), ask(&with, old, 0, &[])), (ALLOW, ERRNO | 1));
    let new = Architecture::X86_64.audit_number();
    assert_eq!(ask(&with, new, X32_BIT, &[]), ALLOW);
    if native().0 == Architecture::X86_64 {
        assert_eq!(ask(&without, new, X32_BIT, &[]), KILL);
    }
}

#[test]
fn what_an_agent_decides_on_is_a_program_of_its_own_and_allowed_in_the_other() {
    let wanted = filter(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/agent", "syscalls": [
            {"names": ["read", "sendmsg"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"},
            {"names": ["kill"], "action": "SCMP_ACT_NOTIFY", "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let compiled = compile(&wanted).unwrap();
    let notices = compiled.notices.unwrap().program;
    let (native, audit) = native();
    let asked = |program: &[Instruction], name: &str, argument: u32| {
        let mut data = [0; 16];
        (data[0], data[1], data[6]) = (numbers::all(native)[name], audit, argument);
        run(program, &data)
    };
    let answers =
        |name, argument| [&notices, &compiled.program].map(|program| asked(program, name, argument));
    assert_eq!(answers("read", 0), [ALLOW, ALLOW]);
    assert_eq!(answers("ptrace", 0), [ALLOW, KILL]);
    assert_eq!(answers("close", 0), [ALLOW, ERRNO | 1]);
    assert_eq!(answers("mount", 0), [RETURN_NOTIFY, ALLOW]);
    assert_eq!(answers("kill", 9), [RETURN_NOTIFY, ALLOW]);
    assert_eq!(answers("kill", 15), [ALLOW, ERRNO | 1]);
    // Calls of an architecture that is not listed end as they would without an agent.
    let mut foreign = [0; 16];
    foreign[1] = 1;
    assert_eq!([&notices, &compiled.program].map(|program| run(program, &foreign)), [ALLOW, KILL]);
}

#[test]
fn what_no_filter_can_do_is_refused() {
    for bad in [
        r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
        r#"{"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/a"}"#,
        r#"{"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "a", "syscalls": [
            {"names": ["sendmsg"], "action": "SCMP_ACT_ALLOW"}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/a", "syscalls": [{"names": ["sendmsg"],
            "action": "SCMP_ACT_NOTIFY", "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    ] {
        assert!(compile(&filter(bad)).is_err(), "{bad}");
    }
}
