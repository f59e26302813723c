//! The repository checks itself: import layers, the kernel fence, the fence around public texts, and the map.
//!
//! These read the source as text, so that a rule can speak of files, folders and words, which no compiler lint does.

#![expect(clippy::unwrap_used, reason = "a check that cannot read its input has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers: a module, and what it may import of ours (`ARCHITECTURE.md` draws the same table).
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sys", &[]),
    ("wire", &["domain"]),
    ("runtime", &["sys"]),
    ("store", &["domain", "sys"]),
    ("logs", &["domain", "wire", "sys"]),
    ("router", &["domain", "wire", "sys"]),
    ("build", &["domain", "wire", "runtime", "sys"]),
    ("stack", &["domain", "wire", "sys"]),
    // The command line is a client of the API; `stack` because building one is a local administrator's command.
    ("cli", &["domain", "wire", "sys", "stack"]),
    ("oci", &["runtime", "sys"]),
    ("supervisor", &["domain", "wire", "runtime", "logs", "sys"]),
    ("flows", &["domain", "wire", "runtime", "build", "stack", "supervisor", "store", "logs", "sys"]),
    ("local", &["domain", "wire", "router", "supervisor", "sys"]),
    ("api", &["domain", "wire", "flows", "logs", "sys"]),
    ("git", &["domain", "wire", "flows", "sys"]),
    (
        "daemon",
        &[
            "domain",
            "sys",
            "wire",
            "runtime",
            "store",
            "logs",
            "router",
            "build",
            "stack",
            "supervisor",
            "flows",
            "api",
            "git",
            "oci",
            "local",
        ],
    ),
];

/// Crates through which a program reaches the kernel directly.
const KERNEL_CRATES: &[&str] = &["libc", "nix", "rustix", "caps", "seccompiler"];

/// Who outside `sys` may name such a crate, and why.
const KERNEL_CRATE_EXCEPTIONS: &[(&str, &str, &str)] =
    &[("runtime/seccomp", "seccompiler", "compiles the table to a program; only `sys` installs one")];

/// Texts that belong to the outside and are spelled in `wire` alone.
const PUBLIC_TEXTS: &[&str] =
    &["\"heroku[", "\"app[", "----->", "\"at=", "\"x-forwarded-", "\"X-Forwarded-", "Push rejected"];

/// A production file longer than this is looked at again; tables are exempt by listing.
const FILE_LINES_MAX: usize = 600;

/// A script longer than this is a program, and belongs in Rust where it can be tested.
const SCRIPT_LINES_MAX: usize = 120;

/// Files that are one long table.
const LONG_FILES: &[&str] = &["cli/mod.rs", "wire/api_errors.rs"];

/// Files that hold rules only: no clock, no task, no kernel.
const PURE: &[&str] = &[
    "domain/",
    "wire/",
    "runtime/plan",
    "supervisor/lifecycle",
    "supervisor/reconcile",
    "supervisor/backoff",
    "supervisor/postmortem/death",
    "supervisor/postmortem/diagnose",
    "supervisor/postmortem/said",
    "supervisor/routes",
    "router/intake",
    "router/affinity",
    "router/lookup",
    "router/admit",
    "router/pick",
    "local/formation",
];

struct Source {
    /// Relative to `src`.
    path: String,
    /// The part before the first `#[cfg(test)]`.
    production: String,
    whole: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Lines of code with their numbers, comments blanked.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_code = |line: &str| !line.trim_start().starts_with("//");
        self.production
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .filter(move |(_, line)| is_code(line))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let whole = fs::read_to_string(&path).unwrap();
        let is_test_file = path.ends_with("test.rs") || path.components().any(|c| c.as_os_str() == "test");
        let production = if is_test_file { "" } else { production(&whole) };
        let relative = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        Source { path: relative, production: production.to_owned(), whole: whole.clone() }
    };
    let all: Vec<_> = files_below(&src, ".rs").into_iter().map(read).collect();
    assert!(all.len() > 30, "the walk found only {} files: it looks in the wrong place", all.len());
    all
}

/// A file up to its tests, which stand last. That there are some elsewhere is said before that.
fn production(whole: &str) -> &str {
    const MARK: &str = "#[cfg(test)]\nmod ";
    let begins_tests = |(at, _): &(usize, &str)| {
        let name = &whole[at + MARK.len()..];
        name.split_once(['{', ';']).is_some_and(|(name, _)| name.ends_with(' '))
    };
    let end = whole.match_indices(MARK).find(begins_tests).map_or(whole.len(), |(at, _)| at);
    &whole[..end]
}

fn report(rule: &str, defects: &[String]) {
    assert!(defects.is_empty(), "{rule}:\n  {}", defects.join("\n  "));
}

/// Our own modules that a line of code names.
fn imports(line: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let module: String =
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            named.push(module);
        }
    }
    named
}

#[test]
fn a_module_imports_only_from_the_layers_below_it() {
    let mut defects = Vec::new();
    for source in sources() {
        let module = source.module();
        if ["lib.rs", "main.rs"].contains(&module) {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            defects.push(format!("src/{}: `{module}` is not in the table of layers", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for import in imports(line) {
                let is_ours = LAYERS.iter().any(|(name, _)| *name == import);
                if is_ours && import != module && !allowed.contains(&import.as_str()) {
                    defects.push(format!("src/{}:{number}: {module} may not import {import}", source.path));
                }
            }
        }
    }
    report("layers import downwards only", &defects);
}

#[test]
fn the_table_of_layers_has_no_cycle() {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    for _ in LAYERS {
        for (module, below) in LAYERS {
            if below.iter().all(|name| settled.contains(name)) {
                settled.insert(module);
            }
        }
    }
    assert_eq!(settled.len(), LAYERS.len(), "some modules import each other in a circle");
}

#[test]
fn unsafe_code_and_raw_kernel_calls_live_in_sys_only() {
    let mut defects = Vec::new();
    for source in sources().iter().filter(|source| source.module() != "sys") {
        for (number, line) in source.code() {
            let has_word = |word: &str| {
                line.match_indices(word).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + word.len()..].chars().next();
                    // A dash joins too: `force-unsafe-io` is a flag of another program.
                    let joins =
                        |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
                    !joins(before) && !joins(after)
                })
            };
            if has_word("unsafe") && source.path != "lib.rs" {
                defects.push(format!("src/{}:{number}: unsafe", source.path));
            }
            for name in KERNEL_CRATES {
                let excepted = KERNEL_CRATE_EXCEPTIONS
                    .iter()
                    .any(|(path, excepted, _)| source.path.starts_with(path) && excepted == name);
                if line.contains(&format!("{name}::")) && has_word(name) && !excepted {
                    defects.push(format!("src/{}:{number}: {name}", source.path));
                }
            }
        }
    }
    report("`unsafe` and raw kernel calls live in src/sys only", &defects);
}

/// Whether `line` quotes a code such as "H12" or "R10".
fn quotes_a_code(line: &str) -> bool {
    line.split('"').skip(1).step_by(2).any(|text| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.into_iter().any(|word| {
            let digits = word.strip_prefix(['H', 'R', 'L']).unwrap_or_default();
            digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())
        })
    })
}

#[test]
fn public_texts_and_codes_live_in_wire_only() {
    let mut defects = Vec::new();
    for source in sources().iter().filter(|source| source.module() != "wire") {
        for (number, line) in source.code() {
            if let Some(text) = PUBLIC_TEXTS.iter().find(|text| line.contains(**text)) {
                defects.push(format!("src/{}:{number}: {text}", source.path));
            }
            if quotes_a_code(line) {
                defects.push(format!("src/{}:{number}: a quoted public code", source.path));
            }
        }
    }
    report("public texts and codes live in src/wire only", &defects);
}

#[test]
fn the_fences_would_notice() {
    assert_eq!(imports("use crate::store::Store;"), ["store"]);
    assert_eq!(imports("    crate::{api, git::x}::y"), ["api", "git"]);
    assert!(quotes_a_code(r#"log("Error R10 (Boot timeout)")"#));
    assert!(!quotes_a_code(r#"Code::H12 => "request""#));
    let own = "//! A.\n#[cfg(test)]\nmod test;\nuse crate::api;\n";
    assert_eq!(production(&format!("{own}#[cfg(test)]\nmod test {{\n}}\n")), own);
}

#[test]
fn pure_files_are_pure() {
    let refused =
        ["async fn", "SystemTime::now", "Instant::now", "tokio::", "crate::sys", "std::fs::", "std::env::"];
    let mut defects = Vec::new();
    for source in sources() {
        if PURE.iter().any(|pure| source.path.starts_with(pure)) {
            for (number, line) in source.code() {
                if let Some(word) = refused.iter().find(|word| line.contains(**word)) {
                    defects.push(format!("src/{}:{number}: {word}", source.path));
                }
            }
        }
    }
    report("files that decide are pure", &defects);
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut defects = Vec::new();
    for source in sources() {
        if !source.whole.starts_with("//!") {
            defects.push(format!("src/{}: has no module documentation", source.path));
        }
        let lines = source.production.lines().count();
        if lines > FILE_LINES_MAX && !LONG_FILES.contains(&source.path.as_str()) {
            defects.push(format!("src/{}: {lines} lines, look again above {FILE_LINES_MAX}", source.path));
        }
    }
    report("every file opens with what it is, and is of readable length", &defects);
}

/// Paths in back-ticks in the maps and in all documentation must exist.
#[test]
fn the_maps_name_files_that_exist() {
    let mut defects = Vec::new();
    let mut checked = 0;
    let maps = ["ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "README.md", "benches/README.md"];
    let maps = maps.iter().map(|map| root().join(map)).chain(files_below(&root().join("docs"), ".md"));
    for map in maps {
        let text = fs::read_to_string(&map).unwrap_or_else(|e| panic!("{}: {e}", map.display()));
        let map = map.strip_prefix(root()).unwrap().display();
        for name in text.split('`').skip(1).step_by(2) {
            let is_path =
                ["src/", "tests/", "scripts/", "docs/", "stacks/", "rootfs/", "buildpacks/", "examples/"]
                    .iter()
                    .any(|folder| name.starts_with(folder));
            if is_path && !name.contains([' ', '*', '<', '$']) {
                checked += 1;
                if !root().join(name).exists() {
                    defects.push(format!("{map}: {name}"));
                }
            }
        }
    }
    assert!(checked > 10, "only {checked} names were found in the maps");
    report("the maps name files that exist", &defects);
}

/// The table of limits says where each stands in the code.
#[test]
fn the_limits_stand_where_the_document_says() {
    let text = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let mut defects = Vec::new();
    let mut checked = 0;
    for line in text.lines().filter(|line| line.contains("`src/")) {
        let names: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        let [.., file, name] = names[..] else { panic!("{line}: no file and name") };
        checked += 1;
        let code = fs::read_to_string(root().join(file)).unwrap_or_default();
        if !code.contains(&format!("const {name}: ")) {
            defects.push(format!("{file}: no {name}"));
        }
    }
    assert!(checked > 10, "only {checked} limits were found");
    report("the table of limits names constants that exist", &defects);
}

/// What SECURITY.md promises is tried: each line of its table names a file of tests, and each such file is compiled and holds one.
#[test]
fn every_promise_of_security_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let promises: Vec<_> = text.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(promises.len() >= 15, "only {} promises were found", promises.len());
    let mut defects = Vec::new();
    for promise in promises {
        let tried = promise.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let names: Vec<_> = tried.split('`').skip(1).step_by(2).collect();
        if !names.iter().any(|name| name.starts_with("tests/")) {
            defects.push(format!("no test is named: {promise}"));
        }
        for name in names.iter().filter(|name| name.starts_with("tests/")) {
            defects.extend(defect_of_test(name).map(|defect| format!("{name}: {defect}")));
        }
    }
    // Elsewhere: `what` in `tests/...`.
    let words: Vec<_> = text.split('`').collect();
    for place in words.windows(3).filter(|w| w[1].trim() == "in" && w[2].starts_with("tests/")) {
        let file = fs::read_to_string(root().join(place[2])).unwrap_or_default();
        if !file.contains(place[0]) {
            defects.push(format!("{} has no {}", place[2], place[0]));
        }
    }
    report("SECURITY.md names the test of each promise", &defects);
}

fn defect_of_test(name: &str) -> Option<String> {
    let path = root().join(name);
    let Ok(text) = fs::read_to_string(&path) else { return Some("there is no such file".to_owned()) };
    if !text.contains("test]") && !text.contains("PROBES: &[") {
        return Some("it holds no test and no probe".to_owned());
    }
    let module = path.file_stem()?.to_string_lossy().into_owned();
    let root = ["main.rs", "mod.rs"].map(|root| path.with_file_name(root));
    let declared = root.iter().filter_map(|root| fs::read_to_string(root).ok());
    let is_declared = declared.into_iter().any(|text| text.contains(&format!("mod {module};")));
    (!is_declared).then(|| "it is not compiled".to_owned())
}

#[test]
fn shell_scripts_stay_thin_and_strict() {
    let mut defects = Vec::new();
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if !text.starts_with("#!") {
            continue;
        }
        if text.lines().count() > SCRIPT_LINES_MAX {
            defects.push(format!("{}: {} lines", path.display(), text.lines().count()));
        }
        if !text.contains("set -euo pipefail") {
            defects.push(format!("{}: no `set -euo pipefail`", path.display()));
        }
    }
    report("scripts are thin, and stop at the first error", &defects);
}
