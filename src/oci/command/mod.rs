//! The commands, one file for each group that shares its means.

mod control;
mod delete;
mod exec;
mod exec_cgroup;
mod features;
mod launch;
mod show;
mod spec;

pub(super) use control::{KILL_OPTIONS, UPDATE_OPTIONS, kill, pause, resume, start, update};
pub(super) use delete::{OPTIONS as DELETE_OPTIONS, delete};
pub(super) use exec::{OPTIONS as EXEC_OPTIONS, exec};
pub(super) use features::features;
pub(super) use launch::{OPTIONS as LAUNCH_OPTIONS, create, run};
pub(super) use show::{LIST_OPTIONS, PS_OPTIONS, list, ps, state};
pub(super) use spec::{OPTIONS as SPEC_OPTIONS, spec};
