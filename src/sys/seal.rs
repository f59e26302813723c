//! The program that this process runs, put where nobody can write to it.
//!
//! What a container's first process is a copy of can be reached from inside in odd ways (`#!/proc/self/exe`); who could write to it
//! would own the host (CVE-2019-5736). A read-only mount of the one file, attached nowhere, cannot be written through or remounted
//! from inside, and costs who starts containers one exec.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

use crate::sys::mount::{self, Attributes};

/// Where a process finds the file that it runs.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Set for the second run, which must not try a third time.
const MARK: &str = "DYNO_SEALED";

/// Sees to it that this process runs from a read-only mount: comes back at once if it does, and otherwise runs the same program with
/// the same words from one. The caller must be the only thread.
///
/// # Errors
/// The kernel's errno, `EPERM` without `CAP_SYS_ADMIN`; or the mount could be written to all the same.
pub fn run_sealed() -> io::Result<()> {
    if rustix::fs::statvfs(OWN_PROGRAM)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    if std::env::var_os(MARK).is_some() {
        return Err(io::Error::other("the program could be written to after it was sealed"));
    }
    let program = mount::copy(Path::new(OWN_PROGRAM))?;
    let safe = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES);
    mount::set_attributes(&program, safe, None)?;
    let words = std::env::args_os().map(|word| CString::new(word.into_vec()));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec())
    });
    let mut environment = environment.collect::<Result<Vec<_>, _>>()?;
    environment.push(CString::new(format!("{MARK}=1"))?);
    match nix::unistd::fexecve(&program, &words, &environment)? {}
}
