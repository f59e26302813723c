//! A stack's description: `stack.toml` and its package lists.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::data;
use super::error::StackError;

/// `stack.toml`, read strictly: an unknown key is a mistake.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) suite: String,
    pub(super) compat: String,
    packages: PackageFiles,
    #[serde(default)]
    pub(super) layers: BTreeMap<String, Layer>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) build_environment: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct PackageFiles {
    run: String,
    build: String,
}

/// A set of packages over the stack.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    /// For people: `Ruby 3.3`.
    pub(super) title: String,
    /// What dynos see of it.
    #[serde(default)]
    pub(super) run: Vec<String>,
    /// What builds see besides.
    #[serde(default)]
    pub(super) build: Vec<String>,
}

/// A description with its lists read.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) manifest: Manifest,
    pub(super) run_packages: Vec<String>,
    pub(super) build_packages: Vec<String>,
}

impl Description {
    /// The description of stack `name` carried in this binary.
    pub(super) fn embedded(name: &str) -> Result<Self, StackError> {
        let Some(text) = data::stack_file(&format!("{name}/stack.toml")) else {
            let known = data::stack_names().collect::<Vec<_>>().join(", ");
            return Err(StackError::Unknown { name: name.to_owned(), known });
        };
        let faulty = |reason: String| StackError::Manifest { name: name.to_owned(), reason };
        let manifest: Manifest = toml::from_str(text).map_err(|error| faulty(error.to_string()))?;
        if manifest.name != name {
            return Err(faulty(format!("it calls itself `{}`", manifest.name)));
        }
        let list = |file: &str| {
            let text =
                data::stack_file(&format!("{name}/{file}")).ok_or_else(|| format!("no file {file}"))?;
            parse_packages(text)
        };
        let run_packages = list(&manifest.packages.run).map_err(faulty)?;
        let build_packages = list(&manifest.packages.build).map_err(faulty)?;
        for (layer, packages) in &manifest.layers {
            let all = packages.run.iter().chain(&packages.build).map(|name| format!("{name}\n"));
            parse_packages(&all.collect::<String>())
                .map_err(|why| faulty(format!("layer {layer}: {why}")))?;
        }
        Ok(Self { manifest, run_packages, build_packages })
    }
}

/// One package name a line; `#` opens a comment.
pub(super) fn parse_packages(text: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let holds_well =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        if !holds_well || !name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            return Err(format!("line {}: `{name}` is no package name", index + 1));
        }
        if names.iter().any(|earlier| earlier == name) {
            return Err(format!("line {}: `{name}` is named twice", index + 1));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_embedded_stack_reads_well() {
        for name in data::stack_names() {
            let description = Description::embedded(name).unwrap();
            assert!(description.run_packages.contains(&"bash".to_owned()));
            assert!(description.manifest.environment.contains_key("PATH"));
            let twice = description.build_packages.iter().find(|p| description.run_packages.contains(p));
            assert_eq!(twice, None);
        }
        assert!(matches!(Description::embedded("cedar-1"), Err(StackError::Unknown { .. })));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = data::stack_file("cedar-13/stack.toml").unwrap();
        let with_extra = format!("surprise = 1\n{text}");
        assert!(toml::from_str::<Manifest>(&with_extra).is_err());
    }

    #[test]
    fn a_list_names_each_package_once_and_plainly() {
        assert_eq!(parse_packages("# head\nbash\n\ng++ # tail\n").unwrap(), ["bash", "g++"]);
        for bad in ["a\na\n", "--option\n", "two words\n", "Upper\n"] {
            assert!(parse_packages(bad).is_err(), "{bad}");
        }
    }
}
