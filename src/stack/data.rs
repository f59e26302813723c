//! The stacks' descriptions and the files laid over them, carried inside the binary so that it stands alone.

/// A file of the repository: its path below `stacks/` or `rootfs/files/`, and its contents.
pub(super) type Embedded = (&'static str, &'static str);

macro_rules! embed {
    ($root:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $root, "/", $path)))),+]
    };
}

/// Everything under `stacks/`.
pub(super) const STACKS: &[Embedded] = embed!("stacks":
    "cedar-12/build.packages",
    "cedar-12/run.packages",
    "cedar-12/stack.toml",
    "cedar-13/build.packages",
    "cedar-13/run.packages",
    "cedar-13/stack.toml",
    "services/heroku-postgresql/service.toml",
    "services/heroku-redis/service.toml",
);

/// Everything under `rootfs/files/`: laid over every stack at the same path, readable by all.
pub(super) const ROOT_FILES: &[Embedded] = embed!("rootfs/files":
    "etc/apt/sources.list",
    "etc/bash.bashrc",
    "etc/default/locale",
    "etc/hostname",
    "etc/hosts",
    "etc/locale.gen",
    "etc/nsswitch.conf",
    "etc/profile",
    "etc/resolv.conf",
    "etc/timezone",
);

/// Finishes a variant from inside.
pub(super) const FINISH: &str = include_str!("../../rootfs/finish.sh");
/// Options of dpkg.
pub(super) const DPKG_OPTIONS: &str = include_str!("../../rootfs/dpkg.cfg");
/// Installs a layer of packages over a finished variant.
pub(super) const DELTA: &str = include_str!("../../rootfs/delta.sh");

/// Unpacks an image and makes a variant of it.
pub(super) const IMPORT: &str = include_str!("../../rootfs/import.sh");

/// The contents of `stacks/<path>`.
pub(super) fn stack_file(path: &str) -> Option<&'static str> {
    STACKS.iter().find(|(name, _)| *name == path).map(|(_, contents)| *contents)
}

/// The names of the stacks this binary can build, in order.
pub(super) fn stack_names() -> impl Iterator<Item = &'static str> {
    STACKS.iter().filter_map(|(path, _)| path.strip_suffix("/stack.toml"))
}

#[cfg(test)]
mod test {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn on_disk(root: &Path, below: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                on_disk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn what_is_embedded_equals_the_repository() {
        for (folder, table) in [("stacks", STACKS), ("rootfs/files", ROOT_FILES)] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut found = BTreeMap::new();
            on_disk(&root, &root, &mut found);
            let embedded: BTreeMap<_, _> =
                table.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            assert_eq!(embedded, found, "{folder}");
        }
    }
}
