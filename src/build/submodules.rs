//! Submodules of a pushed commit. An archive of git's has empty directories in their places; the hook that packs it adds a list of
//! which commits belong there (`wire::api::SUBMODULES_NAME`). They are fetched in a sandbox, without the user's credentials.

use crate::build::Stop;
use crate::build::sandbox::{Input, Reach, Step, Workshop, show};
use crate::build::transcript::Transcript;
use crate::wire::api::SUBMODULES_NAME;
use crate::wire::push_text;

/// Longest fetch of one submodule, in seconds.
const FETCH_TIMEOUT_S: u32 = 300;

/// Fetches what the list `$1` names; `$2` is how long one may take. What goes wrong is the last line of the errors.
const FETCH: &str = r#"set -eu
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new'
GIT_CONFIG_GLOBAL=$(mktemp)
export GIT_CONFIG_GLOBAL
printf '[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n[init]\n\tdefaultBranch = main\n' >"$GIT_CONFIG_GLOBAL"
fail() { printf '%s\n' "$*" >&2; exit 1; }
fetch() { timeout -k 1 "$limit" git fetch --quiet "$@"; }
list=$1 limit=$2
while read -r commit path; do
  name=$(git config -f .gitmodules -z --get-regexp '^submodule\..*\.path$' | while IFS= read -r -d '' entry; do
    key=${entry%%$'\n'*}
    if [ "${entry#*$'\n'}" = "$path" ]; then key=${key#submodule.}; echo "${key%.path}"; break; fi
  done)
  url=$(git config -f .gitmodules --get "submodule.$name.url") ||
    fail ".gitmodules has no address for $path; add it, commit and push again"
  case $url in
  http://* | https://* | git://* | ssh://* | git@*) ;;
  *) fail "the address of $path in .gitmodules, $url, leads nowhere from here; write a whole one, commit and push again" ;;
  esac
  case "/$path/" in */../* | */.git/*) fail "$path is no place for a submodule" ;; esac
  echo "       $path at ${commit:0:7}"
  rm -rf -- "./$path"
  mkdir -p -- "./$path"
  cd -- "./$path"
  git init --quiet
  git remote add origin "$url"
  # Not every server gives a single commit.
  fetch --depth 1 origin "$commit" 2>/dev/null || fetch --tags origin ||
    fail "$path cannot be fetched; if its repository is not public, have the address say how (https://USER:TOKEN@...)"
  git checkout --quiet "$commit" -- 2>/dev/null || git checkout --quiet "$commit" 2>/dev/null ||
    fail "the repository of $path has no commit $commit; push it there first"
  timeout -k 1 "$limit" git submodule --quiet update --init --recursive || fail "a submodule within $path cannot be fetched"
  find . -name .git -prune -exec rm -rf -- {} +
  cd -- "$OLDPWD"
done <"$list"
rm -f -- "$list" .gitmodules
"#;

/// A piece of shell that writes something where the source in the working directory has submodules to fetch, and leaves out what only
/// git needs where it has none.
pub(super) fn look() -> String {
    format!(
        "if [ -s {SUBMODULES_NAME} ] && [ -f .gitmodules ]; then echo some; else rm -rf .gitmodules {SUBMODULES_NAME}; fi"
    )
}

/// Fetches the submodules of the source in `BUILD_DIR`.
pub(super) async fn fetch(workshop: &Workshop, transcript: &mut Transcript<'_>) -> Result<(), Stop> {
    transcript.say(&push_text::fetching_submodules());
    let step = Step {
        name: "fetch submodules",
        script: format!("set -- {SUBMODULES_NAME} {FETCH_TIMEOUT_S}\n{FETCH}"),
        cwd: workshop.build_dir(),
        reach: Reach::Registries,
        mounts: Vec::new(),
    };
    let ended = workshop.run(step, Input::Empty, |stdout| show(stdout, workshop, transcript)).await?;
    ended.or_refuse(|_, said| Stop::Source(push_text::submodules_failed(said)))
}
