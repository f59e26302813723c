//! What a built stack says of itself on disk, and how one becomes visible.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::builder::point;
use super::error::StackError;
use super::manifest::Manifest;
use crate::domain::StackName;
use crate::sys;

/// Name of the record beside `run/` and `build/`.
pub(super) const FILE: &str = "stack.json";
/// Name of the link beside the built stacks that names the current one.
pub(super) const CURRENT: &str = "current";

/// The record of a built stack.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) compat: String,
    pub(super) description: String,
    pub(super) env: BTreeMap<String, String>,
    pub(super) build_env: BTreeMap<String, String>,
    /// Content id of what it was made from, where that is not the version itself: a later build of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inputs: Option<String>,
    /// Unix time at which it was made, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) built_at_s: Option<i64>,
}

/// What tells one build of a stack from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    /// Its version.
    pub(super) id: &'a str,
    /// Content id of what it was made from.
    pub(super) inputs: &'a str,
    /// Unix time, seconds.
    pub(super) built_at_s: i64,
}

/// Writes the record of a stack into `dir`.
pub(super) fn write(dir: &Path, manifest: &Manifest, mark: Mark<'_>) -> Result<(), StackError> {
    let record = Record {
        name: manifest.name.clone(),
        version: mark.id.to_owned(),
        inputs: (mark.inputs != mark.id).then(|| mark.inputs.to_owned()),
        built_at_s: Some(mark.built_at_s),
        compat: manifest.compat.clone(),
        description: manifest.description.clone(),
        env: manifest.environment.clone(),
        build_env: manifest.build_environment.clone(),
    };
    write_record(dir, &record)
}

/// Writes a record into `dir`.
pub(super) fn write_record(dir: &Path, record: &Record) -> Result<(), StackError> {
    let path = dir.join(FILE);
    let damaged =
        |error: serde_json::Error| StackError::Record { path: path.clone(), reason: error.to_string() };
    let bytes = serde_json::to_vec_pretty(record).map_err(damaged)?;
    sys::fs::write_atomically(&path, &bytes).map_err(StackError::file("write", &path))
}

/// Reads the record in `dir`; nothing if there is none.
pub(super) fn read(dir: &Path) -> Result<Option<Record>, StackError> {
    let path = dir.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StackError::file("read", path)(error)),
    };
    let damaged =
        |error: serde_json::Error| StackError::Record { path: path.clone(), reason: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Moves the finished stack in `from` to its place: there whole, or not at all.
pub(super) fn publish(from: &Path, to: &Path) -> Result<(), StackError> {
    std::fs::rename(from, to).map_err(StackError::file("move the finished stack to", to))?;
    let home = to.parent().unwrap_or(to);
    sys::fs::sync_dir(home).map_err(StackError::file("write", home))
}

/// Makes stack `id` the one that new builds use.
pub(super) fn make_current(lib_dir: &Path, name: &StackName, id: &str) -> Result<(), StackError> {
    let link = lib_dir.join("stacks").join(name.as_str()).join(CURRENT);
    if std::fs::read_link(&link).is_ok_and(|target| target == Path::new(id)) {
        return Ok(());
    }
    point(&link, id).map_err(StackError::file("link", link))
}
