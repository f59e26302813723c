//! The buildpacks that a source names itself, in `project.toml` (the project descriptor of Cloud Native Buildpacks, of which nothing else
//! is read). What an app was told to use goes before them.

use crate::build::buildpack::Pack;
use crate::build::compile::pack_dir;
use crate::build::fetch;
use crate::build::origin::{self, Origin};
use crate::build::sandbox::{Input, Workshop};
use crate::build::source::own;
use crate::build::{BuildRequest, Stop};
use crate::wire::push_text;

/// The file, in the root of the source.
const FILE: &str = "project.toml";
/// The most bytes of it.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// The most buildpacks that it may name.
const NAMES_MAX: usize = 20;
/// What the registry's names begin with.
const REGISTRY: &str = "urn:cnb:registry:";

/// The names that the source has for its buildpacks; none where it names none.
pub(super) async fn names(workshop: &Workshop) -> Result<Vec<String>, Stop> {
    let (dir, most) = (workshop.build_dir(), FILE_BYTES_MAX + 1);
    let script = format!("cd {dir} && if [ -f {FILE} ]; then head -c {most} {FILE}; fi");
    let bytes = workshop.run_own(own("read project.toml", script), Input::Empty, FILE_BYTES_MAX).await?;
    parse(&bytes).map_err(|reason| refused(&format!("{FILE} {reason}")))
}

fn refused(reason: &str) -> Stop {
    Stop::Source(push_text::declaration_refused(reason))
}

fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8_lossy(bytes);
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("cannot be read, line {line}: {}", error.message())
    })?;
    let within = |first: &str, second: &str| table.get(first)?.get(second)?.as_array().cloned();
    let of_io = || table.get("io")?.get("buildpacks")?.get("group")?.as_array().cloned();
    let list = of_io().or_else(|| within("build", "buildpacks")).unwrap_or_default();
    if list.len() > NAMES_MAX {
        return Err(format!("names more than {NAMES_MAX} buildpacks"));
    }
    let name = |entry: &toml::Value| {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let name = text("uri").or_else(|| text("id"))?;
        let name = name.strip_prefix(REGISTRY).map_or(name, |name| name.split('@').next().unwrap_or(name));
        Some(name.to_owned())
    };
    let names = list.iter().map(name).collect::<Option<Vec<_>>>();
    names.ok_or_else(|| "has a buildpack with neither id nor uri".to_owned())
}

/// The buildpacks of these names: those of ours are among `laid`, others are fetched.
pub(super) async fn packs(
    workshop: &Workshop,
    request: &BuildRequest,
    names: &[String],
    laid: &[Pack],
) -> Result<Vec<Pack>, Stop> {
    let mut packs = Vec::new();
    for name in names {
        let shown = origin::shown(name);
        let no = |reason: &str| Stop::Source(push_text::buildpack_refused(&shown, reason));
        if origin::is_of_the_host(name) {
            return Err(no("a source cannot name a directory of the node"));
        }
        let origin = origin::of(name, &request.known_buildpacks).map_err(|reason| no(&reason))?;
        match &origin {
            Origin::BuiltIn(_) => {
                let ours = laid.iter().find(|pack| pack.origin == origin);
                packs.push(ours.cloned().ok_or_else(|| no("it is not laid out"))?);
            }
            Origin::Local(_) => return Err(no("its directory is on the node; name it with buildpacks:set")),
            Origin::Git { .. } | Origin::Archive(_) => {
                let index = laid.len() + packs.len();
                packs.push(Pack { name: shown, index, origin });
            }
        }
    }
    let fetched: Vec<Pack> =
        packs.iter().filter(|pack| !matches!(pack.origin, Origin::BuiltIn(_))).cloned().collect();
    if !fetched.is_empty() {
        let dirs: Vec<_> = fetched.iter().map(|pack| pack_dir(pack.index)).collect();
        let script = format!("mkdir -p {}", dirs.join(" "));
        workshop.run_own(own("make room for buildpacks", script), Input::Empty, 0).await?;
        fetch::all(workshop, &fetched).await?;
    }
    Ok(packs)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn both_forms_of_the_list_are_read() {
        let new = "[_]\nschema-version = \"0.2\"\n[[io.buildpacks.group]]\nid = \"heroku/nodejs\"\nversion = \"1\"\n\
                   [[io.buildpacks.group]]\nuri = \"https://git.example/pack.git#v1\"\n";
        assert_eq!(parse(new.as_bytes()).unwrap(), ["heroku/nodejs", "https://git.example/pack.git#v1"]);
        let old = "[project]\nid = \"x\"\n[[build.buildpacks]]\nuri = \"urn:cnb:registry:heroku/ruby@2\"\n";
        assert_eq!(parse(old.as_bytes()).unwrap(), ["heroku/ruby"]);
        for nothing in ["", "[project]\nid = \"x\"\n", "[build]\nexclude = [\"a\"]\n"] {
            assert!(parse(nothing.as_bytes()).unwrap().is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(parse(b"a = 1\nb = [").unwrap_err().contains("line 2"));
        assert!(
            parse(b"[[build.buildpacks]]\nversion = \"1\"\n").unwrap_err().contains("neither id nor uri")
        );
        let many = "[[build.buildpacks]]\nid = \"a/b\"\n".repeat(NAMES_MAX + 1);
        assert!(parse(many.as_bytes()).is_err());
        assert!(parse(&vec![b'\n'; FILE_BYTES_MAX + 1]).is_err());
    }
}
