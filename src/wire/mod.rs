//! Every byte an outsider can see: codes, log lines, headers, push and API texts. It spells; it does not choose.

pub mod acm_text;
pub mod api;
pub mod api_errors;
pub mod app_json;
pub mod attach;
pub mod codes;
pub mod credentials;
pub mod diagnosis;
pub mod dotenv;
pub mod drain;
pub mod dyno_metadata;
pub mod event_stream;
pub mod exec;
pub mod git_ssh;
#[cfg(test)]
mod golden;
pub mod headers;
pub mod hook_text;
pub mod local_text;
pub mod logline;
pub mod metrics;
pub mod pages;
pub mod procfile;
pub mod push_text;
pub mod release_text;
pub mod rendezvous;
pub mod repository_text;
pub mod router_line;
pub mod setup_text;
pub mod transfer_text;
