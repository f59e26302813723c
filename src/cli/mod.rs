//! The command line: a client of the API.
//!
//! A command is one file of `command`: its arguments (their docs are the help), calls on the API, and the text it shows.
//! Data goes to standard output, progress and failures to standard error; a failure names what to do, and the exit status
//! is 1, or 2 for a command line that asks for nothing that exists.

mod app;
mod archive;
mod attached;
mod client;
mod command;
mod confirm;
mod download;
mod failure;
mod help;
mod host;
mod netrc;
mod node;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::node::NodeArgs;

/// The most commands that are suggested in place of one that there is not.
const SUGGESTIONS_MAX: usize = 3;

/// A private Heroku on one machine: git push to a served request, in containers of its own
#[derive(Debug, Parser)]
#[command(name = "dyno", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    command: Command,
}

/// What the user may ask for, in the order of the help.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(name = "create", visible_alias = "apps:create")]
    Create(command::create::Args),
    #[command(name = "apps")]
    Apps(command::apps::Args),
    #[command(name = "apps:destroy", visible_alias = "destroy")]
    AppsDestroy(command::apps_destroy::Args),
    #[command(name = "apps:rename", visible_alias = "rename")]
    AppsRename(command::apps_rename::Args),
    #[command(name = "info", visible_alias = "apps:info")]
    Info(command::info::Args),
    #[command(name = "open", visible_alias = "apps:open")]
    Open(command::open::Args),
    #[command(name = "ps")]
    Ps(command::ps::Args),
    #[command(name = "ps:scale", visible_aliases = ["scale", "dyno:scale"])]
    PsScale(command::ps_scale::Args),
    #[command(name = "ps:type", visible_aliases = ["ps:resize", "dyno:type", "dyno:resize"])]
    PsType(command::ps_type::Args),
    #[command(name = "ps:grace")]
    PsGrace(command::ps_grace::Args),
    #[command(name = "ps:restart", visible_aliases = ["restart", "dyno:restart"])]
    PsRestart(command::ps_restart::Args),
    #[command(name = "ps:stop", visible_aliases = ["stop", "dyno:stop"])]
    PsStop(command::ps_stop::Args),
    #[command(name = "ps:exec", visible_alias = "dyno:exec")]
    PsExec(command::ps_exec::Args),
    #[command(name = "ps:copy", visible_alias = "dyno:copy")]
    PsCopy(command::ps_copy::Args),
    #[command(name = "why")]
    Why(command::why::Args),
    #[command(name = "run")]
    Run(command::run::Args),
    #[command(name = "run:inside")]
    RunInside(command::ps_exec::InsideArgs),
    #[command(name = "run:detached")]
    RunDetached(command::run_detached::Args),
    #[command(name = "logs")]
    Logs(command::logs::Args),
    #[command(name = "drains")]
    Drains(command::drains::Args),
    #[command(name = "drains:add")]
    DrainsAdd(command::drains_add::Args),
    #[command(name = "drains:remove")]
    DrainsRemove(command::drains_remove::Args),
    #[command(name = "config")]
    Config(command::config::Args),
    #[command(name = "config:edit")]
    ConfigEdit(command::config_edit::Args),
    #[command(name = "config:set")]
    ConfigSet(command::config_set::Args),
    #[command(name = "config:get")]
    ConfigGet(command::config_get::Args),
    #[command(name = "config:unset", visible_alias = "config:remove")]
    ConfigUnset(command::config_unset::Args),
    #[command(name = "features", visible_alias = "labs")]
    Features(command::features::Args),
    #[command(name = "features:info", visible_alias = "labs:info")]
    FeaturesInfo(command::features_info::Args),
    #[command(name = "features:enable", visible_alias = "labs:enable")]
    FeaturesEnable(command::features_set::Enable),
    #[command(name = "features:disable", visible_alias = "labs:disable")]
    FeaturesDisable(command::features_set::Disable),
    #[command(name = "releases")]
    Releases(command::releases::Args),
    #[command(name = "releases:info")]
    ReleasesInfo(command::releases_info::Args),
    #[command(name = "releases:output")]
    ReleasesOutput(command::releases_output::Args),
    #[command(name = "releases:retry")]
    ReleasesRetry(command::releases_retry::Args),
    #[command(name = "rollback", visible_alias = "releases:rollback")]
    Rollback(command::rollback::Args),
    #[command(name = "routing")]
    Routing(command::routing::Args),
    #[command(name = "domains")]
    Domains(command::domains::Args),
    #[command(name = "domains:add")]
    DomainsAdd(command::domains::AddArgs),
    #[command(name = "domains:info")]
    DomainsInfo(command::domains::InfoArgs),
    #[command(name = "domains:remove")]
    DomainsRemove(command::domains::RemoveArgs),
    #[command(name = "domains:clear")]
    DomainsClear(command::domains::ClearArgs),
    #[command(name = "domains:wait")]
    DomainsWait(command::domains::WaitArgs),
    #[command(name = "domains:update")]
    DomainsUpdate(command::domains::UpdateArgs),
    #[command(name = "certs")]
    Certs(command::certs::Args),
    #[command(name = "certs:add")]
    CertsAdd(command::certs::AddArgs),
    #[command(name = "certs:info")]
    CertsInfo(command::certs::InfoArgs),
    #[command(name = "certs:update")]
    CertsUpdate(command::certs::UpdateArgs),
    #[command(name = "certs:remove")]
    CertsRemove(command::certs::RemoveArgs),
    #[command(name = "certs:auto")]
    CertsAuto(command::certs_auto::Args),
    #[command(name = "certs:auto:enable")]
    CertsAutoEnable(command::certs_auto::EnableArgs),
    #[command(name = "certs:auto:disable")]
    CertsAutoDisable(command::certs_auto::DisableArgs),
    #[command(name = "certs:auto:refresh")]
    CertsAutoRefresh(command::certs_auto::RefreshArgs),
    #[command(name = "maintenance")]
    Maintenance(command::maintenance::Args),
    #[command(name = "maintenance:on")]
    MaintenanceOn(command::maintenance::OnArgs),
    #[command(name = "maintenance:off")]
    MaintenanceOff(command::maintenance::OffArgs),
    #[command(name = "addons")]
    Addons(command::addons::Args),
    #[command(name = "addons:services")]
    AddonsServices(command::addons::ServicesArgs),
    #[command(name = "addons:plans")]
    AddonsPlans(command::addons::PlansArgs),
    #[command(name = "addons:create", visible_alias = "addons:add")]
    AddonsCreate(command::addons::CreateArgs),
    #[command(name = "addons:info")]
    AddonsInfo(command::addons::InfoArgs),
    #[command(name = "addons:attach")]
    AddonsAttach(command::addons::AttachArgs),
    #[command(name = "addons:detach")]
    AddonsDetach(command::addons::DetachArgs),
    #[command(name = "addons:upgrade", visible_alias = "addons:downgrade")]
    AddonsUpgrade(command::addons::UpgradeArgs),
    #[command(name = "addons:rename")]
    AddonsRename(command::addons::RenameArgs),
    #[command(name = "addons:destroy", visible_alias = "addons:remove")]
    AddonsDestroy(command::addons::DestroyArgs),
    #[command(name = "addons:wait")]
    AddonsWait(command::addons::WaitArgs),
    #[command(name = "addons:run")]
    AddonsRun(command::addons::RunArgs),
    #[command(name = "addons:removed")]
    AddonsRemoved(command::addons_removed::Args),
    #[command(name = "addons:bring-back")]
    AddonsBringBack(command::addons_removed::BringBackArgs),
    #[command(name = "pg", visible_alias = "pg:info")]
    Pg(command::pg::InfoArgs),
    #[command(name = "pg:psql", visible_alias = "psql")]
    PgPsql(command::pg::PsqlArgs),
    #[command(name = "pg:stand-in", hide = true)]
    PgStandIn(command::heroku_psql::Args),
    #[command(name = "pg:ps")]
    PgPs(command::pg::PsArgs),
    #[command(name = "pg:kill")]
    PgKill(command::pg::KillArgs),
    #[command(name = "pg:killall")]
    PgKillall(command::pg::KillallArgs),
    #[command(name = "pg:diagnose")]
    PgDiagnose(command::pg::DiagnoseArgs),
    #[command(name = "pg:wait")]
    PgWait(command::pg::WaitArgs),
    #[command(name = "pg:promote")]
    PgPromote(command::pg::PromoteArgs),
    #[command(name = "pg:reset")]
    PgReset(command::pg::ResetArgs),
    #[command(name = "pg:credentials")]
    PgCredentials(command::pg::CredentialsArgs),
    #[command(name = "pg:credentials:url")]
    PgCredentialsUrl(command::pg::CredentialsUrlArgs),
    #[command(name = "pg:credentials:rotate")]
    PgCredentialsRotate(command::pg::CredentialsRotateArgs),
    #[command(name = "pg:blocking")]
    PgBlocking(command::pg_reports::Blocking),
    #[command(name = "pg:cache-hit", visible_alias = "pg:cache_hit")]
    PgCacheHit(command::pg_reports::CacheHit),
    #[command(name = "pg:calls")]
    PgCalls(command::pg_reports::Calls),
    #[command(name = "pg:extensions")]
    PgExtensions(command::pg_reports::Extensions),
    #[command(name = "pg:index-size", visible_alias = "pg:index_size")]
    PgIndexSize(command::pg_reports::IndexSize),
    #[command(name = "pg:index-usage", visible_alias = "pg:index_usage")]
    PgIndexUsage(command::pg_reports::IndexUsage),
    #[command(name = "pg:locks")]
    PgLocks(command::pg_reports::Locks),
    #[command(name = "pg:long-running-queries", visible_alias = "pg:long_running_queries")]
    PgLongRunningQueries(command::pg_reports::LongRunningQueries),
    #[command(name = "pg:outliers")]
    PgOutliers(command::pg_reports::Outliers),
    #[command(name = "pg:records-rank", visible_alias = "pg:records_rank")]
    PgRecordsRank(command::pg_reports::RecordsRank),
    #[command(name = "pg:seq-scans", visible_alias = "pg:seq_scans")]
    PgSeqScans(command::pg_reports::SeqScans),
    #[command(name = "pg:stats-reset", visible_alias = "pg:stats_reset")]
    PgStatsReset(command::pg_reports::StatsReset),
    #[command(name = "pg:table-indexes-size", visible_alias = "pg:table_indexes_size")]
    PgTableIndexesSize(command::pg_reports::TableIndexesSize),
    #[command(name = "pg:table-size", visible_alias = "pg:table_size")]
    PgTableSize(command::pg_reports::TableSize),
    #[command(name = "pg:total-index-size", visible_alias = "pg:total_index_size")]
    PgTotalIndexSize(command::pg_reports::TotalIndexSize),
    #[command(name = "pg:total-table-size", visible_alias = "pg:total_table_size")]
    PgTotalTableSize(command::pg_reports::TotalTableSize),
    #[command(name = "pg:unused-indexes", visible_alias = "pg:unused_indexes")]
    PgUnusedIndexes(command::pg_reports::UnusedIndexes),
    #[command(name = "pg:user-connections", visible_alias = "pg:user_connections")]
    PgUserConnections(command::pg_reports::UserConnections),
    #[command(name = "pg:vacuum-stats", visible_alias = "pg:vacuum_stats")]
    PgVacuumStats(command::pg_reports::VacuumStats),
    #[command(name = "pg:backups")]
    PgBackups(command::pg_backups::Args),
    #[command(name = "pg:backups:capture")]
    PgBackupsCapture(command::pg_backups_take::CaptureArgs),
    #[command(name = "pg:backups:info")]
    PgBackupsInfo(command::pg_backups::InfoArgs),
    #[command(name = "pg:backups:url")]
    PgBackupsUrl(command::pg_backups_fetch::UrlArgs),
    #[command(name = "pg:backups:download")]
    PgBackupsDownload(command::pg_backups_fetch::DownloadArgs),
    #[command(name = "pg:backups:restore")]
    PgBackupsRestore(command::pg_backups_restore::RestoreArgs),
    #[command(name = "pg:backups:verify")]
    PgBackupsVerify(command::pg_backups_take::VerifyArgs),
    #[command(name = "pg:backups:delete")]
    PgBackupsDelete(command::pg_backups_take::DeleteArgs),
    #[command(name = "pg:backups:cancel")]
    PgBackupsCancel(command::pg_backups_take::CancelArgs),
    #[command(name = "pg:backups:schedule")]
    PgBackupsSchedule(command::pg_backups_schedule::ScheduleArgs),
    #[command(name = "pg:backups:unschedule")]
    PgBackupsUnschedule(command::pg_backups_schedule::UnscheduleArgs),
    #[command(name = "pg:backups:schedules")]
    PgBackupsSchedules(command::pg_backups_schedule::SchedulesArgs),
    #[command(name = "pg:copy")]
    PgCopy(command::pg_backups_restore::CopyArgs),
    #[command(name = "redis", visible_alias = "redis:info")]
    Redis(command::redis::InfoArgs),
    #[command(name = "redis:cli")]
    RedisCli(command::redis::CliArgs),
    #[command(name = "redis:credentials")]
    RedisCredentials(command::redis::CredentialsArgs),
    #[command(name = "redis:promote")]
    RedisPromote(command::redis::PromoteArgs),
    #[command(name = "redis:wait")]
    RedisWait(command::redis::WaitArgs),
    #[command(name = "pipelines")]
    Pipelines(command::pipelines::Args),
    #[command(name = "pipelines:create")]
    PipelinesCreate(command::pipelines::CreateArgs),
    #[command(name = "pipelines:info")]
    PipelinesInfo(command::pipelines::InfoArgs),
    #[command(name = "pipelines:add")]
    PipelinesAdd(command::pipelines::AddArgs),
    #[command(name = "pipelines:update")]
    PipelinesUpdate(command::pipelines::UpdateArgs),
    #[command(name = "pipelines:remove")]
    PipelinesRemove(command::pipelines::RemoveArgs),
    #[command(name = "pipelines:rename")]
    PipelinesRename(command::pipelines::RenameArgs),
    #[command(name = "pipelines:destroy")]
    PipelinesDestroy(command::pipelines::DestroyArgs),
    #[command(name = "pipelines:transfer")]
    PipelinesTransfer(command::pipelines::TransferArgs),
    #[command(name = "pipelines:promote")]
    PipelinesPromote(command::pipelines_promote::Args),
    #[command(name = "pipelines:diff")]
    PipelinesDiff(command::pipelines_diff::Args),
    #[command(name = "webhooks")]
    Webhooks(command::webhooks::Args),
    #[command(name = "webhooks:add")]
    WebhooksAdd(command::webhooks::AddArgs),
    #[command(name = "webhooks:info")]
    WebhooksInfo(command::webhooks::InfoArgs),
    #[command(name = "webhooks:update")]
    WebhooksUpdate(command::webhooks::UpdateArgs),
    #[command(name = "webhooks:remove")]
    WebhooksRemove(command::webhooks::RemoveArgs),
    #[command(name = "webhooks:deliveries")]
    WebhooksDeliveries(command::webhooks::DeliveriesArgs),
    #[command(name = "webhooks:deliveries:info")]
    WebhooksDeliveriesInfo(command::webhooks::DeliveryArgs),
    #[command(name = "webhooks:events")]
    WebhooksEvents(command::webhooks::EventsArgs),
    #[command(name = "buildpacks")]
    Buildpacks(command::buildpacks::Args),
    #[command(name = "buildpacks:add")]
    BuildpacksAdd(command::buildpacks_add::Args),
    #[command(name = "buildpacks:set")]
    BuildpacksSet(command::buildpacks_set::Args),
    #[command(name = "buildpacks:remove")]
    BuildpacksRemove(command::buildpacks_remove::Args),
    #[command(name = "buildpacks:clear")]
    BuildpacksClear(command::buildpacks_clear::Args),
    #[command(name = "scheduler")]
    Scheduler(command::scheduler::Args),
    #[command(name = "scheduler:add")]
    SchedulerAdd(command::scheduler_add::Args),
    #[command(name = "scheduler:remove")]
    SchedulerRemove(command::scheduler_remove::Args),
    #[command(name = "scheduler:run")]
    SchedulerRun(command::scheduler_run::Args),
    #[command(name = "scheduler:runs")]
    SchedulerRuns(command::scheduler_runs::Args),
    #[command(name = "builds")]
    Builds(command::builds::Args),
    #[command(name = "builds:info")]
    BuildsInfo(command::builds_info::Args),
    #[command(name = "builds:output")]
    BuildsOutput(command::builds_output::Args),
    #[command(name = "builds:cancel")]
    BuildsCancel(command::builds_cancel::Args),
    #[command(name = "builds:cache:purge")]
    BuildsCachePurge(command::builds_cancel::PurgeArgs),
    #[command(name = "slugs:download")]
    SlugsDownload(command::slugs_download::Args),
    #[command(name = "ci")]
    Ci(command::ci::Args),
    #[command(name = "ci:run")]
    CiRun(command::ci_run::Args),
    #[command(name = "ci:rerun")]
    CiRerun(command::ci_run::RerunArgs),
    #[command(name = "ci:info")]
    CiInfo(command::ci::InfoArgs),
    #[command(name = "ci:last")]
    CiLast(command::ci::LastArgs),
    #[command(name = "ci:config")]
    CiConfig(command::ci_config::Args),
    #[command(name = "ci:config:get")]
    CiConfigGet(command::ci_config::GetArgs),
    #[command(name = "ci:config:set")]
    CiConfigSet(command::ci_config::SetArgs),
    #[command(name = "ci:config:unset")]
    CiConfigUnset(command::ci_config::UnsetArgs),
    #[command(name = "deploy", visible_alias = "builds:create")]
    Deploy(command::deploy::Args),
    #[command(name = "sync")]
    Sync(command::sync::Args),
    #[command(name = "github")]
    Github(command::github::Args),
    #[command(name = "github:connect")]
    GithubConnect(command::github::ConnectArgs),
    #[command(name = "github:disconnect")]
    GithubDisconnect(command::github::DisconnectArgs),
    #[command(name = "github:deploys")]
    GithubDeploys(command::github::DeploysArgs),
    #[command(name = "stack")]
    Stack(command::stack::Args),
    #[command(name = "stack:set")]
    StackSet(command::stack_set::Args),
    #[command(name = "stacks")]
    Stacks(command::stacks::Args),
    #[command(name = "stacks:build", visible_alias = "stack:build")]
    StacksBuild(command::stacks_build::Args),
    #[command(name = "stacks:import")]
    StacksImport(command::stacks_import::Args),
    #[command(name = "git:remote")]
    GitRemote(command::git_remote::Args),
    #[command(name = "git:clone")]
    GitClone(command::git_remote::CloneArgs),
    #[command(name = "git:credentials", hide = true)]
    GitCredentials(command::git_credentials::Args),
    #[command(name = "git:hook", hide = true)]
    GitHook(command::git_hook::Args),
    #[command(name = "access")]
    Access(command::access::Args),
    #[command(name = "access:add")]
    AccessAdd(command::access::AddArgs),
    #[command(name = "access:update")]
    AccessUpdate(command::access::UpdateArgs),
    #[command(name = "access:remove")]
    AccessRemove(command::access::RemoveArgs),
    #[command(name = "login", visible_alias = "auth:login")]
    Login(command::login::Args),
    #[command(name = "logout", visible_alias = "auth:logout")]
    Logout(command::login::LogoutArgs),
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    AuthWhoami(command::auth::WhoamiArgs),
    #[command(name = "auth:token")]
    AuthToken(command::auth::TokenArgs),
    #[command(name = "authorizations")]
    Authorizations(command::authorizations::Args),
    #[command(name = "authorizations:create")]
    AuthorizationsCreate(command::authorizations::CreateArgs),
    #[command(name = "authorizations:info")]
    AuthorizationsInfo(command::authorizations::InfoArgs),
    #[command(name = "authorizations:update")]
    AuthorizationsUpdate(command::authorizations::UpdateArgs),
    #[command(name = "authorizations:rotate")]
    AuthorizationsRotate(command::authorizations::RotateArgs),
    #[command(name = "authorizations:revoke", visible_alias = "authorizations:destroy")]
    AuthorizationsRevoke(command::authorizations::RevokeArgs),
    #[command(name = "keys")]
    Keys(command::keys::Args),
    #[command(name = "keys:add")]
    KeysAdd(command::keys::AddArgs),
    #[command(name = "keys:remove")]
    KeysRemove(command::keys::RemoveArgs),
    #[command(name = "keys:clear")]
    KeysClear(command::keys::ClearArgs),
    #[command(name = "users")]
    Users(command::users::Args),
    #[command(name = "users:create")]
    UsersCreate(command::users_create::Args),
    #[command(name = "users:password")]
    UsersPassword(command::users_create::PasswordArgs),
    #[command(name = "users:destroy")]
    UsersDestroy(command::users_destroy::Args),
    #[command(name = "trust")]
    Trust(command::trust::Args),
    #[command(name = "heroku")]
    Heroku(command::heroku::Args),
    #[command(name = "tunnel")]
    Tunnel(command::tunnel::Args),
    #[command(name = "completions")]
    Completions(command::completions::Args),
    #[command(name = "man")]
    Man(command::man::Args),
    #[command(name = "metrics")]
    Metrics(command::metrics::Args),
    #[command(name = "wait")]
    Wait(command::wait::Args),
    #[command(name = "version")]
    Version(command::version::Args),
}

/// A subcommand that is no client of a node, and what plays it with its arguments.
pub type Role = (clap::Command, fn(&ArgMatches) -> ExitCode);

/// What every command works with.
struct Context {
    node: NodeArgs,
    client: Client,
}

/// Runs the command line `args`, program name first, and tells the exit status. `roles` are the subcommands that are
/// played by others.
pub fn main(args: impl IntoIterator<Item = OsString>, roles: &[Role]) -> ExitCode {
    let mut grammar = grammar(roles);
    let matches = match grammar.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        Err(help_or_failure) => {
            if let Some(instead) = elsewhere(&help_or_failure) {
                output::note(&instead);
                return ExitCode::from(failure::STATUS_USAGE);
            }
            return unparsed(&nearest(help_or_failure));
        }
    };
    if let Some((name, given)) = matches.subcommand()
        && let Some((role, play)) = roles.iter().find(|(role, _)| role.get_name() == name)
    {
        return match meaningless(role, given) {
            Some(flag) => {
                let text = format!("--{flag} means nothing to dyno {name}");
                unparsed(&grammar.error(ErrorKind::UnknownArgument, text))
            }
            None => play(given),
        };
    }
    if let Some(help) = matches.subcommand().and_then(|(name, _)| help::of_topic(&mut grammar, name)) {
        return match output::data(&help) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => report(&failure),
        };
    }
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(failure) => return unparsed(&failure),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => return report(&Failure::Local { attempt: "start".to_owned(), source }),
    };
    let result = runtime.block_on(run(cli, roles));
    // A thread may still wait for a key; it must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(status) => status,
        Err(failure) => report(&failure),
    }
}

/// The command line's grammar, with the roles that others play: every command, and what it takes.
#[must_use]
pub fn grammar(roles: &[Role]) -> clap::Command {
    help::by_topic(Cli::command().subcommands(roles.iter().map(|(role, _)| role.clone())))
}

/// A flag of every client that was given to a role which does not know it.
fn meaningless(role: &clap::Command, given: &ArgMatches) -> Option<String> {
    // A role of several forms has its flags one level deeper.
    let (role, given) = match given.subcommand() {
        Some((form, deeper)) => (role.find_subcommand(form).unwrap_or(role), deeper),
        None => (role, given),
    };
    let own = |id: &str| role.get_arguments().any(|argument| argument.get_id() == id);
    let common = Cli::command();
    let mut flags = common.get_arguments().map(|flag| flag.get_id().as_str());
    flags.find(|id| !own(id) && given.value_source(id) == Some(ValueSource::CommandLine)).map(str::to_owned)
}

/// What to use in place of a command of the platform's that there is not; nothing where nothing is known of it.
fn elsewhere(failure: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(name)) = failure.get(ContextKind::InvalidSubcommand) else { return None };
    let instead = help::instead(name)?;
    Some(Failure::Usage(format!("dyno has no command {name}: {instead}.")).text())
}

/// A failure with no more suggestions than a person looks at, the nearest first; clap has it last.
fn nearest(mut failure: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(names)) = failure.remove(ContextKind::SuggestedSubcommand) {
        let nearest = names.into_iter().rev().take(SUGGESTIONS_MAX).collect();
        failure.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(nearest));
    }
    failure
}

/// Help goes to standard output, failures to standard error; where neither is read, nothing is lost.
fn unparsed(help_or_failure: &clap::Error) -> ExitCode {
    let _ = help_or_failure.print();
    ExitCode::from(u8::try_from(help_or_failure.exit_code()).unwrap_or(1))
}

fn report(failure: &Failure) -> ExitCode {
    output::note(&failure.text());
    ExitCode::from(failure.status())
}

#[expect(clippy::too_many_lines, reason = "a table, one row a command")]
async fn run(cli: Cli, roles: &[Role]) -> Result<ExitCode, Failure> {
    let node = cli.node.with_environment(|name| std::env::var_os(name))?;
    let context = Context { client: Client::new(&node), node };
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Create(args) => args.run(&context).await.map(done),
        Command::Apps(args) => args.run(&context).await.map(done),
        Command::AppsDestroy(args) => args.run(&context).await.map(done),
        Command::AppsRename(args) => args.run(&context).await.map(done),
        Command::Info(args) => args.run(&context).await.map(done),
        Command::Open(args) => args.run(&context).await.map(done),
        Command::Ps(args) => args.run(&context).await.map(done),
        Command::PsScale(args) => args.run(&context).await.map(done),
        Command::PsType(args) => args.run(&context).await.map(done),
        Command::PsGrace(args) => args.run(&context).await.map(done),
        Command::PsRestart(args) => args.run(&context).await.map(done),
        Command::PsStop(args) => args.run(&context).await.map(done),
        Command::PsExec(args) => args.run(&context).await,
        Command::PsCopy(args) => args.run(&context).await.map(done),
        Command::RunInside(args) => args.run(&context).await,
        Command::Why(args) => args.run(&context).await.map(done),
        Command::Run(args) => args.run(&context).await,
        Command::RunDetached(args) => args.run(&context).await.map(done),
        Command::Logs(args) => args.run(&context).await.map(done),
        Command::Drains(args) => args.run(&context).await.map(done),
        Command::DrainsAdd(args) => args.run(&context).await.map(done),
        Command::DrainsRemove(args) => args.run(&context).await.map(done),
        Command::Config(args) => args.run(&context).await.map(done),
        Command::ConfigEdit(args) => args.run(&context).await.map(done),
        Command::ConfigSet(args) => args.run(&context).await.map(done),
        Command::ConfigGet(args) => args.run(&context).await.map(done),
        Command::ConfigUnset(args) => args.run(&context).await.map(done),
        Command::Features(args) => args.run(&context).await.map(done),
        Command::FeaturesInfo(args) => args.run(&context).await.map(done),
        Command::FeaturesEnable(args) => args.run(&context).await.map(done),
        Command::FeaturesDisable(args) => args.run(&context).await.map(done),
        Command::Releases(args) => args.run(&context).await.map(done),
        Command::ReleasesInfo(args) => args.run(&context).await.map(done),
        Command::ReleasesOutput(args) => args.run(&context).await.map(done),
        Command::ReleasesRetry(args) => args.run(&context).await.map(done),
        Command::Rollback(args) => args.run(&context).await.map(done),
        Command::Routing(args) => args.run(&context).await.map(done),
        Command::Domains(args) => args.run(&context).await.map(done),
        Command::DomainsAdd(args) => args.run(&context).await.map(done),
        Command::DomainsInfo(args) => args.run(&context).await.map(done),
        Command::DomainsRemove(args) => args.run(&context).await.map(done),
        Command::DomainsClear(args) => args.run(&context).await.map(done),
        Command::DomainsWait(args) => args.run(&context).await.map(done),
        Command::DomainsUpdate(args) => args.run(&context).await.map(done),
        Command::Certs(args) => args.run(&context).await.map(done),
        Command::CertsAdd(args) => args.run(&context).await.map(done),
        Command::CertsInfo(args) => args.run(&context).await.map(done),
        Command::CertsUpdate(args) => args.run(&context).await.map(done),
        Command::CertsRemove(args) => args.run(&context).await.map(done),
        Command::CertsAuto(args) => args.run(&context).await.map(done),
        Command::CertsAutoEnable(args) => args.run(&context).await.map(done),
        Command::CertsAutoDisable(args) => args.run(&context).await.map(done),
        Command::CertsAutoRefresh(args) => args.run(&context).await.map(done),
        Command::Maintenance(args) => args.run(&context).await.map(done),
        Command::MaintenanceOn(args) => args.run(&context).await.map(done),
        Command::MaintenanceOff(args) => args.run(&context).await.map(done),
        Command::Addons(args) => args.run(&context).await.map(done),
        Command::AddonsServices(args) => args.run(&context).await.map(done),
        Command::AddonsPlans(args) => args.run(&context).await.map(done),
        Command::AddonsCreate(args) => args.run(&context).await.map(done),
        Command::AddonsInfo(args) => args.run(&context).await.map(done),
        Command::AddonsAttach(args) => args.run(&context).await.map(done),
        Command::AddonsDetach(args) => args.run(&context).await.map(done),
        Command::AddonsUpgrade(args) => args.run(&context).await.map(done),
        Command::AddonsRename(args) => args.run(&context).await.map(done),
        Command::AddonsDestroy(args) => args.run(&context).await.map(done),
        Command::AddonsWait(args) => args.run(&context).await.map(done),
        Command::AddonsRun(args) => args.run(&context).await,
        Command::AddonsRemoved(args) => args.run(&context).await.map(done),
        Command::AddonsBringBack(args) => args.run(&context).await.map(done),
        Command::Pg(args) => args.run(&context).await.map(done),
        Command::PgPsql(args) => args.run(&context).await,
        Command::PgStandIn(args) => args.run(&context).await,
        Command::PgPs(args) => args.run(&context).await,
        Command::PgKill(args) => args.run(&context).await,
        Command::PgKillall(args) => args.run(&context).await,
        Command::PgDiagnose(args) => args.run(&context).await,
        Command::PgWait(args) => args.run(&context).await.map(done),
        Command::PgPromote(args) => args.run(&context).await.map(done),
        Command::PgReset(args) => args.run(&context).await.map(done),
        Command::PgCredentials(args) => args.run(&context).await.map(done),
        Command::PgCredentialsUrl(args) => args.run(&context).await.map(done),
        Command::PgCredentialsRotate(args) => args.run(&context).await.map(done),
        Command::PgBlocking(args) => args.run(&context).await,
        Command::PgCacheHit(args) => args.run(&context).await,
        Command::PgCalls(args) => args.run(&context).await,
        Command::PgExtensions(args) => args.run(&context).await,
        Command::PgIndexSize(args) => args.run(&context).await,
        Command::PgIndexUsage(args) => args.run(&context).await,
        Command::PgLocks(args) => args.run(&context).await,
        Command::PgLongRunningQueries(args) => args.run(&context).await,
        Command::PgOutliers(args) => args.run(&context).await,
        Command::PgRecordsRank(args) => args.run(&context).await,
        Command::PgSeqScans(args) => args.run(&context).await,
        Command::PgStatsReset(args) => args.run(&context).await,
        Command::PgTableIndexesSize(args) => args.run(&context).await,
        Command::PgTableSize(args) => args.run(&context).await,
        Command::PgTotalIndexSize(args) => args.run(&context).await,
        Command::PgTotalTableSize(args) => args.run(&context).await,
        Command::PgUnusedIndexes(args) => args.run(&context).await,
        Command::PgUserConnections(args) => args.run(&context).await,
        Command::PgVacuumStats(args) => args.run(&context).await,
        Command::PgBackups(args) => args.run(&context).await.map(done),
        Command::PgBackupsCapture(args) => args.run(&context).await.map(done),
        Command::PgBackupsInfo(args) => args.run(&context).await.map(done),
        Command::PgBackupsUrl(args) => args.run(&context).await.map(done),
        Command::PgBackupsDownload(args) => args.run(&context).await.map(done),
        Command::PgBackupsRestore(args) => args.run(&context).await.map(done),
        Command::PgBackupsVerify(args) => args.run(&context).await.map(done),
        Command::PgBackupsDelete(args) => args.run(&context).await.map(done),
        Command::PgBackupsCancel(args) => args.run(&context).await.map(done),
        Command::PgBackupsSchedule(args) => args.run(&context).await.map(done),
        Command::PgBackupsUnschedule(args) => args.run(&context).await.map(done),
        Command::PgBackupsSchedules(args) => args.run(&context).await.map(done),
        Command::PgCopy(args) => args.run(&context).await.map(done),
        Command::Redis(args) => args.run(&context).await.map(done),
        Command::RedisCli(args) => args.run(&context).await,
        Command::RedisCredentials(args) => args.run(&context).await.map(done),
        Command::RedisPromote(args) => args.run(&context).await.map(done),
        Command::RedisWait(args) => args.run(&context).await.map(done),
        Command::Pipelines(args) => args.run(&context).await.map(done),
        Command::PipelinesCreate(args) => args.run(&context).await.map(done),
        Command::PipelinesInfo(args) => args.run(&context).await.map(done),
        Command::PipelinesAdd(args) => args.run(&context).await.map(done),
        Command::PipelinesUpdate(args) => args.run(&context).await.map(done),
        Command::PipelinesRemove(args) => args.run(&context).await.map(done),
        Command::PipelinesRename(args) => args.run(&context).await.map(done),
        Command::PipelinesDestroy(args) => args.run(&context).await.map(done),
        Command::PipelinesTransfer(args) => args.run(&context).await.map(done),
        Command::PipelinesPromote(args) => args.run(&context).await.map(done),
        Command::PipelinesDiff(args) => args.run(&context).await.map(done),
        Command::Webhooks(args) => args.run(&context).await.map(done),
        Command::WebhooksAdd(args) => args.run(&context).await.map(done),
        Command::WebhooksInfo(args) => args.run(&context).await.map(done),
        Command::WebhooksUpdate(args) => args.run(&context).await.map(done),
        Command::WebhooksRemove(args) => args.run(&context).await.map(done),
        Command::WebhooksDeliveries(args) => args.run(&context).await.map(done),
        Command::WebhooksDeliveriesInfo(args) => args.run(&context).await.map(done),
        Command::WebhooksEvents(args) => args.run(&context).await.map(done),
        Command::Buildpacks(args) => args.run(&context).await.map(done),
        Command::BuildpacksAdd(args) => args.run(&context).await.map(done),
        Command::BuildpacksSet(args) => args.run(&context).await.map(done),
        Command::BuildpacksRemove(args) => args.run(&context).await.map(done),
        Command::BuildpacksClear(args) => args.run(&context).await.map(done),
        Command::Scheduler(args) => args.run(&context).await.map(done),
        Command::SchedulerAdd(args) => args.run(&context).await.map(done),
        Command::SchedulerRemove(args) => args.run(&context).await.map(done),
        Command::SchedulerRun(args) => args.run(&context).await.map(done),
        Command::SchedulerRuns(args) => args.run(&context).await.map(done),
        Command::Builds(args) => args.run(&context).await.map(done),
        Command::BuildsInfo(args) => args.run(&context).await.map(done),
        Command::BuildsOutput(args) => args.run(&context).await.map(done),
        Command::BuildsCancel(args) => args.run(&context).await.map(done),
        Command::BuildsCachePurge(args) => args.run(&context).await.map(done),
        Command::SlugsDownload(args) => args.run(&context).await.map(done),
        Command::Ci(args) => args.run(&context).await.map(done),
        Command::CiRun(args) => args.run(&context).await,
        Command::CiRerun(args) => args.run(&context).await,
        Command::CiInfo(args) => args.run(&context).await,
        Command::CiLast(args) => args.run(&context).await,
        Command::CiConfig(args) => args.run(&context).await.map(done),
        Command::CiConfigGet(args) => args.run(&context).await.map(done),
        Command::CiConfigSet(args) => args.run(&context).await.map(done),
        Command::CiConfigUnset(args) => args.run(&context).await.map(done),
        Command::Deploy(args) => args.run(&context).await.map(done),
        Command::Sync(args) => args.run(&context).await.map(done),
        Command::Github(args) => args.run(&context).await.map(done),
        Command::GithubConnect(args) => args.run(&context).await.map(done),
        Command::GithubDisconnect(args) => args.run(&context).await.map(done),
        Command::GithubDeploys(args) => args.run(&context).await.map(done),
        Command::Stack(args) => args.run(&context).await.map(done),
        Command::StackSet(args) => args.run(&context).await.map(done),
        Command::Stacks(args) => args.run(&context).await.map(done),
        Command::StacksBuild(args) => args.run(&context).map(done),
        Command::StacksImport(args) => args.run(&context).map(done),
        Command::GitRemote(args) => args.run(&context).await.map(done),
        Command::GitClone(args) => args.run(&context).await.map(done),
        Command::GitCredentials(args) => args.run(&context).map(done),
        Command::GitHook(args) => args.run(&context).await,
        Command::Access(args) => args.run(&context).await.map(done),
        Command::AccessAdd(args) => args.run(&context).await.map(done),
        Command::AccessUpdate(args) => args.run(&context).await.map(done),
        Command::AccessRemove(args) => args.run(&context).await.map(done),
        Command::Login(args) => args.run(&context).await.map(done),
        Command::Logout(args) => args.run(&context).await.map(done),
        Command::AuthWhoami(args) => args.run(&context).await.map(done),
        Command::AuthToken(args) => args.run(&context).map(done),
        Command::Authorizations(args) => args.run(&context).await.map(done),
        Command::AuthorizationsCreate(args) => args.run(&context).await.map(done),
        Command::AuthorizationsInfo(args) => args.run(&context).await.map(done),
        Command::AuthorizationsUpdate(args) => args.run(&context).await.map(done),
        Command::AuthorizationsRotate(args) => args.run(&context).await.map(done),
        Command::AuthorizationsRevoke(args) => args.run(&context).await.map(done),
        Command::Keys(args) => args.run(&context).await.map(done),
        Command::KeysAdd(args) => args.run(&context).await.map(done),
        Command::KeysRemove(args) => args.run(&context).await.map(done),
        Command::KeysClear(args) => args.run(&context).await.map(done),
        Command::Users(args) => args.run(&context).await.map(done),
        Command::UsersCreate(args) => args.run(&context).await.map(done),
        Command::UsersPassword(args) => args.run(&context).await.map(done),
        Command::UsersDestroy(args) => args.run(&context).await.map(done),
        Command::Trust(args) => args.run(&context).await.map(done),
        Command::Heroku(args) => args.run(&context).await,
        Command::Tunnel(args) => args.run(&context).await,
        Command::Completions(args) => args.run(grammar(roles)).map(done),
        Command::Man(args) => args.run(&grammar(roles)).map(done),
        Command::Metrics(args) => args.run(&context).await.map(done),
        Command::Wait(args) => args.run(&context).await.map(done),
        Command::Version(args) => args.run(&context).map(done),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        grammar(&[]).debug_assert();
    }

    #[test]
    fn commands_are_named_as_the_platforms_users_type_them() {
        for line in [
            "dyno ps:scale web=2 worker+1 -a example",
            "dyno create example --no-remote --stack cedar-13",
            "dyno run -a example id; cat /proc/self/status",
            "dyno run -a example ls -la /app",
            "dyno logs -n 10 -t -p web -s app -a example --json",
            "dyno config:set FOO=bar BAZ=1",
            "dyno rollback v3",
            "dyno --root /n apps",
            "dyno why web.1 -a example --all",
            "dyno run bash -a example",
            "dyno run -- ls -a /",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
        for line in ["dyno ps:nonsense", "dyno nonsense", "dyno config:set", "dyno logs -p web -d web.1"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
