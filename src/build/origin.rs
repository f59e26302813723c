//! Where a buildpack comes from, read off the name that an app gives it. Pure, but for a look at paths of this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::build::built_in::{self, BUILT_IN, Files};

/// How the API spells the name of one from a registry.
const URN: &str = "urn:buildpack:";
/// What an archive's name ends with.
const ARCHIVE_ENDS: [&str; 3] = [".tgz", ".tar.gz", ".tar"];
/// The most letters of a name or an address.
const NAME_CHARS_MAX: usize = 2048;
/// How often a name may stand for another name.
const ALIAS_DEPTH_MAX: usize = 4;

/// Names that the platform's registry has for buildpacks which are no part of this program, and their repositories.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("heroku/clojure", "https://github.com/heroku/heroku-buildpack-clojure.git"),
    ("heroku/pgbouncer", "https://github.com/heroku/heroku-buildpack-pgbouncer.git"),
    ("heroku/scala", "https://github.com/heroku/heroku-buildpack-scala.git"),
    ("heroku-community/apt", "https://github.com/heroku/heroku-buildpack-apt.git"),
    ("heroku-community/inline", "https://github.com/heroku/heroku-buildpack-inline.git"),
    ("heroku-community/multi-procfile", "https://github.com/heroku/heroku-buildpack-multi-procfile.git"),
    ("heroku-community/nginx", "https://github.com/heroku/heroku-buildpack-nginx.git"),
];

/// Where the files of a buildpack are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In this program.
    BuiltIn(Files),
    /// In a directory of this host.
    Local(PathBuf),
    /// In a repository that git reaches, at a branch, tag or commit if one is named.
    Git { at: Place, reference: Option<String> },
    /// In an archive, compressed or not.
    Archive(Place),
}

/// Where a repository or an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Somewhere in the network.
    Url(String),
    /// On this host.
    Host(PathBuf),
}

/// Whether `name` is a path of this host rather than a name or an address in the network.
#[must_use]
pub fn is_of_the_host(name: &str) -> bool {
    let name = name.trim();
    let name = name.strip_prefix(URN).unwrap_or(name).trim_start();
    name.starts_with('/') || name.starts_with("file:")
}

/// Whether `name` can be the name or the address of a buildpack; `known` are the names that this node gives a meaning. What
/// lies at a path of this host may come later.
///
/// # Errors
/// It cannot; the reason is one clause.
pub fn check(name: &str, known: &BTreeMap<String, String>) -> Result<(), String> {
    if is_of_the_host(name) { Ok(()) } else { of(name, known).map(drop) }
}

/// The origin of the buildpack `name`; `known` are the names that this node gives a meaning. The reason is one clause.
pub(super) fn of(name: &str, known: &BTreeMap<String, String>) -> Result<Origin, String> {
    let mut name = name.strip_prefix(URN).unwrap_or(name).trim().to_owned();
    for _ in 0..ALIAS_DEPTH_MAX {
        let Some(meant) = known.get(&name) else { break };
        meant.clone_into(&mut name);
    }
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err("its name is too long or holds characters that do not belong there".to_owned());
    }
    if let Some(own) = built_in::named(&name) {
        return Ok(Origin::BuiltIn(own.files));
    }
    let registered = WELL_KNOWN.iter().find(|(known, _)| *known == name).map(|(_, url)| *url);
    let name = registered.unwrap_or(&name);
    let (address, reference) = match name.split_once('#') {
        Some((address, reference)) if !reference.is_empty() => (address, Some(reference.to_owned())),
        Some((address, _)) => (address, None),
        None => (name, None),
    };
    if reference.as_ref().is_some_and(|reference| !is_reference(reference)) {
        return Err("what stands after # is no branch, tag or commit".to_owned());
    }
    if let Some(path) = address.strip_prefix("file://") {
        return on_host(Path::new(path), reference);
    }
    if ["https://", "http://", "git://", "ssh://", "git@"].iter().any(|start| address.starts_with(start)) {
        return Ok(remote(address, reference));
    }
    if !address.starts_with('/') {
        let own = BUILT_IN.iter().map(|own| own.name).chain(WELL_KNOWN.iter().map(|(name, _)| *name));
        let own = own.collect::<Vec<_>>().join(", ");
        return Err(format!("it is no name that is known here ({own}), no address and no absolute path"));
    }
    on_host(Path::new(address), reference)
}

fn remote(address: &str, reference: Option<String>) -> Origin {
    let path = address.split('?').next().unwrap_or(address);
    let at = Place::Url(address.to_owned());
    if ARCHIVE_ENDS.iter().any(|end| path.ends_with(end)) {
        Origin::Archive(at)
    } else {
        Origin::Git { at, reference }
    }
}

fn on_host(path: &Path, reference: Option<String>) -> Result<Origin, String> {
    if !path.is_absolute() {
        return Err("a path on this host must be absolute".to_owned());
    }
    let at = || Place::Host(path.to_owned());
    if path.is_file() {
        let name = path.to_string_lossy();
        return if ARCHIVE_ENDS.iter().any(|end| name.ends_with(end)) {
            Ok(Origin::Archive(at()))
        } else {
            Err(format!("its file is no archive ({})", ARCHIVE_ENDS.join(", ")))
        };
    }
    let is_bare = path.join("HEAD").is_file() && path.join("objects").is_dir();
    if is_bare || (reference.is_some() && path.join(".git").exists()) {
        return Ok(Origin::Git { at: at(), reference });
    }
    if reference.is_some() {
        return Err(
            "what stands after # names a part of a git repository, and its directory is none".to_owned()
        );
    }
    if path.join("bin/compile").is_file() {
        Ok(Origin::Local(path.to_owned()))
    } else {
        Err("there is no file bin/compile in it".to_owned())
    }
}

/// Names that git itself would take, and that cannot be an option.
fn is_reference(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-+@".contains(c);
    !text.starts_with('-') && text.chars().all(plain)
}

/// The name as it may be shown: user and password of an address are left out.
#[must_use]
pub fn shown(name: &str) -> String {
    let name = name.strip_prefix(URN).unwrap_or(name);
    let Some((scheme, rest)) = name.split_once("://") else { return name.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or(authority))
}

#[cfg(test)]
mod test {
    use std::fs;

    use super::*;

    fn plain(name: &str) -> Result<Origin, String> {
        of(name, &BTreeMap::new())
    }

    fn git(url: &str, reference: Option<&str>) -> Origin {
        Origin::Git { at: Place::Url(url.to_owned()), reference: reference.map(str::to_owned) }
    }

    #[test]
    fn names_stand_for_our_own_or_for_repositories() {
        for name in ["heroku/python", "urn:buildpack:heroku/python", "heroku/gradle"] {
            assert!(matches!(plain(name), Ok(Origin::BuiltIn(_))), "{name}");
        }
        let apt = plain("heroku-community/apt").unwrap();
        assert_eq!(apt, git("https://github.com/heroku/heroku-buildpack-apt.git", None));
        let known = [("me/pack", "https://git.example/pack#v1"), ("heroku/python", "me/pack")];
        let known: BTreeMap<_, _> = known.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        for name in ["me/pack", "heroku/python"] {
            assert_eq!(of(name, &known).unwrap(), git("https://git.example/pack", Some("v1")), "{name}");
        }
    }

    #[test]
    fn addresses_are_repositories_or_archives() {
        let repository = "https://git.example/pack.git";
        assert_eq!(plain(&format!("{repository}#main")), Ok(git(repository, Some("main"))));
        assert_eq!(plain("git@git.example:me/pack.git"), Ok(git("git@git.example:me/pack.git", None)));
        for url in ["https://files.example/pack.tgz", "https://files.example/pack.tar.gz?token=1"] {
            assert_eq!(plain(url), Ok(Origin::Archive(Place::Url(url.to_owned()))), "{url}");
        }
        assert!(plain("https://git.example/pack#--upload-pack=x").is_err());
        assert!(plain("https://git.example/pack#a b").is_err());
    }

    #[test]
    fn what_is_no_form_is_refused_with_those_there_are() {
        let refused = plain("heroku/cobol").unwrap_err();
        assert!(refused.contains("heroku/nodejs") && refused.contains("heroku-community/apt"), "{refused}");
        assert!(plain("/nonexistent").unwrap_err().contains("no file bin/compile"));
        let none = BTreeMap::new();
        assert!(check("/nonexistent", &none).is_ok(), "it may come later");
        for name in ["ftp://nonsense", "heroku/cobol", "gopher://example.com/pack.git", ""] {
            assert!(check(name, &none).is_err(), "{name}");
        }
        assert!(
            check("me/pack", &[("me/pack".to_owned(), "https://git.example/p".to_owned())].into()).is_ok()
        );
        assert!(plain("a\nb").is_err());
        let endless: BTreeMap<_, _> = [("a/a".to_owned(), "a/a".to_owned())].into();
        assert!(of("a/a", &endless).is_err());
    }

    #[test]
    fn paths_of_this_host_are_told_apart_by_what_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("pack/bin")).unwrap();
        fs::write(path("pack/bin/compile"), "").unwrap();
        fs::create_dir_all(path("bare/objects")).unwrap();
        fs::write(path("bare/HEAD"), "").unwrap();
        fs::write(path("pack.tgz"), "").unwrap();
        let at = |name: &str| plain(path(name).to_str().unwrap());
        assert_eq!(at("pack"), Ok(Origin::Local(path("pack"))));
        assert!(at("pack#main").unwrap_err().contains("git repository"));
        let bare = Place::Host(path("bare"));
        assert_eq!(at("bare#v2"), Ok(Origin::Git { at: bare, reference: Some("v2".to_owned()) }));
        let archive = Origin::Archive(Place::Host(path("pack.tgz")));
        assert_eq!(plain(&format!("file://{}", path("pack.tgz").display())), Ok(archive));
    }

    #[test]
    fn paths_of_this_host_are_known_for_what_they_are_however_written() {
        for name in ["/srv/pack", " /srv/pack", "urn:buildpack:/srv/pack", "file:///srv/pack.tgz"] {
            assert!(is_of_the_host(name), "{name}");
        }
        for name in ["heroku/python", "urn:buildpack:heroku/python", "https://example.com/pack.git"] {
            assert!(!is_of_the_host(name), "{name}");
        }
    }

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(shown("https://me:secret@git.example/pack#v1"), "https://git.example/pack#v1");
        assert_eq!(shown("urn:buildpack:heroku/go"), "heroku/go");
    }
}
