//! Buildpacks that lie elsewhere: fetched by the stack's own programs, in a sandbox, afresh for every build.

use std::path::PathBuf;

use crate::build::Stop;
use crate::build::buildpack::Pack;
use crate::build::compile::pack_dir;
use crate::build::origin::{Origin, Place};
use crate::build::sandbox::{Input, Reach, SIDE_DIR, Step, Workshop, first};
use crate::domain::shell_quoted;
use crate::runtime::{Access, Exec, IdMapped, SandboxMount};
use crate::wire::push_text;

/// Longest fetch of one buildpack, in seconds (buildpack reference 6).
const FETCH_TIMEOUT_S: u32 = 90;

/// What comes before every fetch: a git that asks nobody, and reads repositories whoever owns them.
const PROLOGUE: &str = r#"set -e
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new'
export GIT_CONFIG_GLOBAL=$(mktemp)
printf '[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n' >"$GIT_CONFIG_GLOBAL"
"#;
/// What comes after: an archive may hold all in one directory; history is of no use; scripts are for running.
const EPILOGUE: &str = r#"
if [ ! -d bin ] && [ "$(ls -A | wc -l)" = 1 ] && [ -d "$(ls -A)/bin" ]; then
  shopt -s dotglob
  top=$(ls -A)
  mv -- "$top"/* .
  rmdir -- "$top"
fi
[ -f bin/compile ] || { echo 'there is no file bin/compile in it' >&2; exit 1; }
rm -rf .git
chmod +x bin/*
"#;

/// Fetches those that are neither in this program nor plain directories of this host.
pub(super) async fn all(workshop: &Workshop, packs: &[Pack]) -> Result<(), Stop> {
    for pack in packs {
        let (script, input, side) = match &pack.origin {
            Origin::BuiltIn(_) | Origin::Local(_) => continue,
            Origin::Git { at, reference } => {
                let (url, side) = match at {
                    Place::Url(url) => (url.clone(), None),
                    Place::Host(path) => (format!("file://{SIDE_DIR}"), Some(path.clone())),
                };
                (clone(&url, reference.as_deref()), Input::Empty, side)
            }
            Origin::Archive(Place::Url(url)) => (download(url), Input::Empty, None),
            Origin::Archive(Place::Host(path)) => {
                (unpack("cat", &path.to_string_lossy()), Input::File(path.clone()), None)
            }
        };
        one(workshop, pack, &script, (input, side)).await?;
    }
    Ok(())
}

async fn one(
    workshop: &Workshop,
    pack: &Pack,
    script: &str,
    (input, side): (Input, Option<PathBuf>),
) -> Result<(), Stop> {
    let mount = side.map(|path| SandboxMount::Bind {
        source: IdMapped { path, disk: None },
        target: SIDE_DIR.into(),
        access: Access::ReadOnly,
        exec: Exec::Denied,
    });
    let step = Step {
        name: "fetch a buildpack",
        script: format!("{PROLOGUE}{script}{EPILOGUE}"),
        cwd: pack_dir(pack.index),
        reach: Reach::Registries,
        mounts: mount.into_iter().collect(),
    };
    let ended = workshop.run(step, input, |stdout| first(stdout, 0)).await?;
    ended.or_refuse(|status, said| {
        let said = said.strip_prefix("fatal: ").unwrap_or(said).trim_end_matches('.');
        let reason = match status {
            // As timeout(1) tells it.
            124 => format!("fetching it took longer than {FETCH_TIMEOUT_S} s"),
            _ if said.is_empty() => "it could not be fetched".to_owned(),
            _ => format!("it could not be fetched: {said}"),
        };
        Stop::Source(push_text::buildpack_refused(&pack.name, &reason))
    })?;
    Ok(())
}

/// A branch or tag is fetched alone; a commit needs the history it is in.
fn clone(url: &str, reference: Option<&str>) -> String {
    let url = shell_quoted(url);
    let limit = format!("timeout -k 1 {FETCH_TIMEOUT_S}");
    let parts = "--quiet --recurse-submodules --shallow-submodules --depth 1";
    match reference {
        None => format!("{limit} git clone {parts} -- {url} ."),
        Some(reference) => {
            let name = shell_quoted(reference);
            format!(
                "{limit} git clone {parts} --branch {name} -- {url} . 2>/dev/null || {{
find . -mindepth 1 -delete
{limit} git clone --quiet -- {url} .
git checkout --quiet {name} --
git submodule --quiet update --init --recursive
}}"
            )
        }
    }
}

fn download(url: &str) -> String {
    let limits = format!("--retry 2 --max-time {FETCH_TIMEOUT_S}");
    let fetch = format!("curl --fail --silent --show-error --location {limits} {}", shell_quoted(url));
    unpack(&fetch, url.split('?').next().unwrap_or(url))
}

/// Unpacks what `source` writes; the archive's `name` says how it is compressed.
fn unpack(source: &str, name: &str) -> String {
    let flag = if name.ends_with(".tar") { "" } else { "z" };
    format!("set -o pipefail; {source} | tar -x{flag} --no-same-owner -f -")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nothing_in_an_address_is_a_command() {
        assert!(clone("https://x.example/$(id)", Some("v1")).contains("-- 'https://x.example/$(id)' ."));
    }

    #[test]
    fn an_archive_is_taken_by_its_name() {
        assert!(download("https://x.example/p.tgz?a=b").ends_with("| tar -xz --no-same-owner -f -"));
        assert!(unpack("cat", "/p.tar").ends_with("| tar -x --no-same-owner -f -"));
    }
}
