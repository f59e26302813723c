//! User stories, one file each: what happens when someone creates, pushes, scales, configures, rolls back or runs.
//!
//! A story is one function that reads as its own description. It knows nothing of HTTP, git or terminals: `api` and `git`
//! parse requests into calls of these functions, and the start of the node calls [`resume`]. Durable truth is in the
//! store; a story changes it in one atomic write, then tells the dynos what is wanted now ([`ports::Dynos`]).
//!
//! Two locks an app: one for builds, which take minutes and of which a second is refused; one for everything that
//! makes a release or changes the formation, which is short and waited for.

mod access;
mod accounts;
mod acm;
mod acme;
mod add_ons;
mod announce;
mod app_setups;
mod apps;
mod attach;
mod authority;
mod build_list;
mod build_queue;
mod building;
mod caller;
mod certificate_orders;
mod certificate_text;
mod certificates;
mod clone;
mod config_change;
mod delivery;
mod domains;
mod drains;
mod dyno_events;
mod error;
mod features;
mod fetch;
mod git_command;
mod haiku;
mod locks;
mod logins;
mod node;
mod outbound;
mod phase;
mod pipeline_tests;
mod pipelines;
pub mod ports;
mod presigned;
mod promotion;
mod push;
mod releases;
mod repository;
mod resume;
mod retention;
mod routing;
mod run;
mod scale;
mod schedule;
mod sent_slugs;
mod sharing;
mod slug_archive;
mod sni_endpoints;
mod source_build;
mod sources;
mod ssh_keys;
mod strangers;
#[cfg(test)]
mod test;
mod test_run;
mod visits;
mod webhooks;

pub use access::{Actor, Token, TokenError};
pub use accounts::{
    AuthorizationRequest, PASSWORD_BYTES_MIN, authorization, authorizations, authorize, create_user,
    describe, log_in, remove_user, revoke, rotate, set_password, user_names, users,
};
pub use acm::{disable_acm, enable_acm, refresh_acm};
pub use acme::{Acme, AcmeClient, AcmeOrder, AcmeSettings, Challenge, ChallengeKind};
pub use add_ons::{
    ActRequest, AddOnRequest, AddOnUpdate, AddOnView, AttachRequest, AttachmentView, CLIENT, Others, add_on,
    add_on_info, add_on_key, add_on_services, add_on_url, add_ons, app_add_ons, app_attachments,
    attach_add_on, attachment, attachments, backup_link, backup_of_id, backup_schedules, begin_act,
    bring_back_add_on, cancel_transfer, capture_backup, change_add_on, copy_add_on, create_add_on,
    data_transfer, data_transfers, delete_transfer, destroy_add_on, detach_add_on, end_connections,
    keep_backups, keep_seeing_off, link_name, linked_backup, linked_transfer, permit_detaching, removed_data,
    reset_add_on, reset_statistics, restore_backup, rotate_password, schedule_backups, unschedule_backups,
    verify_backup, verify_backups,
};
pub use announce::{Describe, Subject, announce};
pub use app_setups::{AppSetupRequest, app_setup, build_status, set_up};
pub use apps::{AppInfo, AppUpdate, NewAppRequest, create, destroy, find, info, infos, update};
pub use attach::attach;
pub use authority::{Authority, AuthorityError};
pub use build_list::{buildpacks, builds, set_buildpacks};
pub use caller::{Caller, Role, authenticate, authenticate_key, permit};
pub use certificate_orders::keep_certificates;
pub use certificate_text::pem;
pub use config_change::{change_config, config};
pub use delivery::deliver_webhooks;
pub use domains::{add_domain, domain, domains, remove_domain};
pub use drains::{add_drain, drain, drains, remove_drain};
pub use dyno_events::tell_of_dynos;
pub use error::FlowError;
pub use features::{features, metadata, set_feature};
pub use git_command::git_command;
pub use locks::BuildPermit;
pub use node::{Node, Parts, Quotas, Settings};
pub use phase::{Phase, PhaseOutcome, release_output};
pub use pipeline_tests::{
    TestPart, TestRunRequest, TestRunView, cancel_test_run, change_stage_config, numbered_test_run,
    stage_config, start_test_run, test_output, test_run, test_runs,
};
pub use pipelines::{
    Place, add_to_pipeline, apps_among, create_pipeline, give_pipeline, move_in_pipeline, pipeline,
    pipeline_owner, pipelines, place, place_of, places, places_in, remove_from_pipeline, remove_pipeline,
    rename_pipeline,
};
pub use promotion::{PromotionRequest, promote, promotion};
pub use push::{Push, Pushed, Transcript, begin_push, follow_release, push};
pub use releases::{
    ReleaseKey, ReleaseView, newest_release, release, release_again, release_time, releases, rollback, slug,
};
pub use repository::{
    Heard, Message, connect_repository, disconnect_repository, hear_of_push, is_listened_for, repository,
    switch_deploys,
};
pub use resume::resume;
pub use retention::keep_retention;
pub use routing::{change_routing, routing};
pub use run::{RunRequest, deaths, dyno, dynos, restart, run_one_off, stop};
pub use scale::{ScaleUpdate, formation, scale};
pub use schedule::{JobRequest, JobView, add_job, job_runs, jobs, keep_schedule, remove_job, run_job};
pub use sent_slugs::{SentSlug, SlugBlob, SlugRequest, new_slug, release_sent_slug, sent_slug};
pub use sharing::{
    add_collaborator, apps_for, change_collaborator, collaborator, collaborators, owner, remove_collaborator,
    transfer,
};
pub use slug_archive::{SlugArchive, is_slug_link, slug_archive, slug_link};
pub use sni_endpoints::{
    SniEndpointView, add_sni_endpoint, change_sni_endpoint, remove_sni_endpoint, secure_domain, sni_endpoint,
    sni_endpoints,
};
pub use source_build::{
    SourceBuildRequest, build, build_output, cancel_build, end_builds, exit_code, purge_cache, start_build,
};
pub use sources::{
    ArrivingSource, DiskRoom, RECEIVE_TIMEOUT_S, SOURCE_BYTES_MAX, SourceLinks, begin_source, new_source,
    source_file,
};
pub use ssh_keys::{add_ssh_key, remove_ssh_key, ssh_key, ssh_keys};
pub use strangers::{Stranger, Strangers};
pub use test_run::{TestSource, run_tests};
pub use visits::{VisitRequest, require_visits, visit};
pub use webhooks::{
    WebhookRequest, add_webhook, change_webhook, deliveries, delivery, remove_webhook, webhook,
    webhook_event, webhook_events, webhooks,
};
