//! One file a command: arguments, calls, text.

pub(super) mod apps;
pub(super) mod apps_destroy;
pub(super) mod builds;
pub(super) mod completions;
pub(super) mod config;
pub(super) mod config_get;
pub(super) mod config_set;
pub(super) mod config_unset;
pub(super) mod create;
pub(super) mod git_credentials;
pub(super) mod git_hook;
pub(super) mod git_remote;
pub(super) mod info;
pub(super) mod logs;
pub(super) mod ps;
pub(super) mod ps_restart;
pub(super) mod ps_scale;
pub(super) mod ps_stop;
pub(super) mod releases;
pub(super) mod rollback;
pub(super) mod run;
pub(super) mod run_detached;
pub(super) mod stack;
pub(super) mod stack_set;
pub(super) mod stacks;
pub(super) mod version;
