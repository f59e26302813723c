//! The commands, one file for each group that shares its means.

mod control;
mod delete;
mod exec;
mod features;
mod launch;
mod show;
mod spec;

pub(super) use control::{kill, pause, resume, start, update};
pub(super) use delete::delete;
pub(super) use exec::exec;
pub(super) use features::features;
pub(super) use launch::{create, run};
pub(super) use show::{list, ps, state};
pub(super) use spec::spec;
