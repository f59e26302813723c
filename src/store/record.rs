//! The shapes on disk, and their way to and from the domain's types.
//!
//! A record's version is the database's format (see `migrate`): a changed shape is a new migration step. Maps are kept as
//! JSON objects. A row that breaks a rule of the domain is an error that names the table, never a guess.

mod certificates;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Row;

use crate::domain::{
    AddOn, App, AppId, AppSetup, Attachment, AttachmentName, Attempt, Authorization, BackupSchedule, Build,
    BuildPhase, BuildSource, BuildStatus, Bytes, Collaborator, ConfigVars, Coupling, Delivery, Deploys,
    Drain, DrainId, DynoId, Feature, FormationEntry, Job, JobId, JobRun, PhaseTime, Pipeline, Postdeploy,
    ProcessType, Promotion, PromotionTarget, Release, ReleasePhase, ReleaseStatus, RepositoryLink, Routing,
    RoutingSetting, RunState, SetupStatus, Slug, SshKey, Switch, TargetOutcome, Transfer, TransferCause,
    User, Verified, Version, Webhook, WebhookEvent,
};
use crate::store::error::{Attempt as _, StoreError};

/// A row read from one table.
pub(super) struct Record<'a> {
    table: &'static str,
    row: &'a Row<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn new(table: &'static str, row: &'a Row<'a>) -> Self {
        Self { table, row }
    }

    fn broken(&self, column: &str, reason: impl ToString) -> StoreError {
        StoreError::Record { table: self.table, reason: format!("{column}: {}", reason.to_string()) }
    }

    pub(super) fn get<T: rusqlite::types::FromSql>(&self, column: &str) -> Result<T, StoreError> {
        self.row.get(column).map_err(|failed| self.broken(column, failed))
    }

    /// A text column that holds a domain type's text.
    pub(super) fn parse<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: std::str::FromStr,
        T::Err: ToString,
    {
        let text: String = self.get(column)?;
        text.parse().map_err(|failed: T::Err| self.broken(column, failed))
    }

    /// As [`Self::parse`], where the column may be empty.
    fn parse_optional<T>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: std::str::FromStr,
        T::Err: ToString,
    {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|failed: T::Err| self.broken(column, failed))).transpose()
    }

    fn map(&self, column: &str) -> Result<BTreeMap<String, String>, StoreError> {
        self.json(column)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|failed| self.broken(column, failed))
    }

    fn process_types(&self, column: &str) -> Result<BTreeMap<ProcessType, String>, StoreError> {
        let entry = |(name, command): (String, String)| match name.parse() {
            Ok(name) => Ok((name, command)),
            Err(failed) => Err(self.broken(column, failed)),
        };
        self.map(column)?.into_iter().map(entry).collect()
    }

    pub(super) fn unsigned(&self, column: &str) -> Result<u64, StoreError> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|failed| self.broken(column, failed))
    }

    pub(super) fn app_id(&self, column: &str) -> Result<AppId, StoreError> {
        self.parse(column).map(AppId)
    }

    pub(super) fn app(&self) -> Result<App, StoreError> {
        Ok(App {
            id: self.app_id("id")?,
            name: self.parse("name")?,
            owner: self.parse_optional("owner")?,
            build_stack: self.parse("build_stack")?,
            maintenance: self.get("maintenance")?,
            acm: if self.get("acm")? { Switch::On } else { Switch::Off },
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn add_on(&self) -> Result<AddOn, StoreError> {
        let (slot, generation) = (self.unsigned("slot")?, self.unsigned("generation")?);
        Ok(AddOn {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            name: self.parse("name")?,
            service: self.get("service")?,
            plan: self.get("plan")?,
            password: self.parse("password")?,
            slot: u32::try_from(slot).map_err(|failed| self.broken("slot", failed))?,
            generation: u32::try_from(generation).map_err(|failed| self.broken("generation", failed))?,
            provisioned: self.get("provisioned")?,
            fork_of: self.parse_optional("fork_of")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn attachment(&self) -> Result<Attachment, StoreError> {
        Ok(Attachment {
            id: self.parse("id")?,
            add_on: self.parse("add_on_id")?,
            app: self.app_id("app_id")?,
            name: self.parse("name")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn attached_once(&self) -> Result<(uuid::Uuid, AttachmentName), StoreError> {
        Ok((self.parse("add_on_id")?, self.parse("name")?))
    }

    pub(super) fn transfer(&self) -> Result<Transfer, StoreError> {
        let is_scheduled: bool = self.get("is_scheduled")?;
        let (verified_at_s, fault): (Option<i64>, _) =
            (self.get("verified_at_s")?, self.get("verify_fault")?);
        Ok(Transfer {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            add_on: self.parse("add_on_id")?,
            number: self.get("number")?,
            kind: self.parse("kind")?,
            cause: if is_scheduled { TransferCause::Schedule } else { TransferCause::Asked },
            from: self.get("from_name")?,
            to: self.get("to_name")?,
            state: self.parse("state")?,
            bytes: self.unsigned("bytes")?,
            digest: self.get("digest")?,
            message: self.get("message")?,
            verified: verified_at_s.map(|at_s| Verified { at_s, fault }),
            created_at_s: self.get("created_at_s")?,
            finished_at_s: self.get("finished_at_s")?,
        })
    }

    pub(super) fn id(&self) -> Result<uuid::Uuid, StoreError> {
        self.parse("id")
    }

    pub(super) fn backup_schedule(&self) -> Result<BackupSchedule, StoreError> {
        Ok(BackupSchedule {
            id: self.parse("id")?,
            add_on: self.parse("add_on_id")?,
            name: self.get("name")?,
            hour: self.get("hour")?,
            zone: self.get("zone")?,
            looked_at_s: self.get("looked_at_s")?,
        })
    }

    /// Config vars.
    pub(super) fn config(&self) -> Result<ConfigVars, StoreError> {
        ConfigVars::new(self.map("config")?).map_err(|failed| self.broken("config", failed))
    }

    fn release_status(&self) -> Result<ReleaseStatus, StoreError> {
        let status: String = self.get("status")?;
        [ReleaseStatus::Pending, ReleaseStatus::Succeeded, ReleaseStatus::Failed, ReleaseStatus::Expired]
            .into_iter()
            .find(|known| known.as_str() == status)
            .ok_or_else(|| self.broken("status", status))
    }

    pub(super) fn release(&self) -> Result<Release, StoreError> {
        let status = self.release_status()?;
        Ok(Release {
            id: self.parse("id")?,
            version: Version(self.unsigned("version")?),
            description: self.get("description")?,
            user: self.get("user")?,
            status,
            slug: self.parse_optional("slug")?,
            commit: self.get("commit_id")?,
            stack: self.parse("stack")?,
            stack_version: self.get("stack_version")?,
            process_types: self.process_types("process_types")?,
            config: self.config()?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn release_phase(&self) -> Result<ReleasePhase, StoreError> {
        Ok(ReleasePhase {
            app: self.app_id("app_id")?,
            version: Version(self.unsigned("version")?),
            dyno: self.parse("dyno_id").map(DynoId)?,
            name: self.parse("dyno")?,
        })
    }

    pub(super) fn job(&self) -> Result<Job, StoreError> {
        Ok(Job {
            id: JobId(self.unsigned("id")?),
            app: self.app_id("app_id")?,
            command: self.get("command")?,
            size: self.parse("size")?,
            cadence: self.parse("cadence")?,
            zone: self.get("zone")?,
            overlap: self.parse("overlap")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn job_run(&self) -> Result<JobRun, StoreError> {
        let (state, status): (String, Option<u8>) = (self.get("state")?, self.get("exit_status")?);
        Ok(JobRun {
            id: self.unsigned("id")?,
            job: JobId(self.unsigned("job_id")?),
            dyno: self.parse("dyno_id").map(DynoId)?,
            name: self.parse_optional("dyno")?,
            started_at_s: self.get("started_at_s")?,
            ended_at_s: self.get("ended_at_s")?,
            state: RunState::read(&state, status).ok_or_else(|| self.broken("state", state))?,
            reason: self.get("reason")?,
        })
    }

    pub(super) fn formation_entry(&self) -> Result<FormationEntry, StoreError> {
        Ok(FormationEntry {
            process_type: self.parse("process_type")?,
            quantity: self.get("quantity")?,
            size: self.parse("size")?,
            stop_grace: self.get::<Option<u32>>("stop_grace_s")?.map(|s| Duration::from_secs(s.into())),
        })
    }

    pub(super) fn feature(&self) -> Result<(Feature, Switch), StoreError> {
        Ok((self.parse("name")?, self.get::<bool>("enabled")?.into()))
    }

    /// A setting of how requests are led, and its value, which is one of that setting's.
    pub(super) fn routing(&self) -> Result<(RoutingSetting, String), StoreError> {
        let (setting, value): (RoutingSetting, String) = (self.parse("name")?, self.get("value")?);
        match Routing::default().set(setting, &value) {
            Ok(()) => Ok((setting, value)),
            Err(_) => Err(self.broken("value", value)),
        }
    }

    pub(super) fn drain(&self) -> Result<Drain, StoreError> {
        Ok(Drain {
            id: self.parse("id").map(DrainId)?,
            app: self.app_id("app_id")?,
            token: self.get("token")?,
            url: self.parse("url")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    /// A text column as it is.
    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(super) fn user(&self) -> Result<User, StoreError> {
        Ok(User { email: self.parse("email")?, created_at_s: self.get("created_at_s")? })
    }

    pub(super) fn authorization(&self) -> Result<Authorization, StoreError> {
        Ok(Authorization {
            id: self.parse("id")?,
            user: self.parse("user")?,
            description: self.get("description")?,
            scopes: self.parse("scopes")?,
            hint: self.get("hint")?,
            created_at_s: self.get("created_at_s")?,
            expires_at_s: self.get("expires_at_s")?,
        })
    }

    pub(super) fn ssh_key(&self) -> Result<SshKey, StoreError> {
        Ok(SshKey {
            id: self.parse("id")?,
            user: self.parse("user")?,
            key: self.parse("public_key")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn collaborator(&self) -> Result<Collaborator, StoreError> {
        Ok(Collaborator {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            user: self.parse("user")?,
            right: self.parse("permission")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn pipeline(&self) -> Result<Pipeline, StoreError> {
        Ok(Pipeline {
            id: self.parse("id")?,
            name: self.parse("name")?,
            owner: self.parse_optional("owner")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn coupling(&self) -> Result<Coupling, StoreError> {
        Ok(Coupling {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            pipeline: self.parse("pipeline_id")?,
            stage: self.parse("stage")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn promotion(&self, targets: Vec<PromotionTarget>) -> Result<Promotion, StoreError> {
        Ok(Promotion {
            id: self.parse("id")?,
            pipeline: self.parse("pipeline_id")?,
            source: self.app_id("source_id")?,
            release: self.parse("release_id")?,
            created_at_s: self.get("created_at_s")?,
            targets,
        })
    }

    /// A target, joined with the status of its release.
    pub(super) fn promotion_target(&self) -> Result<PromotionTarget, StoreError> {
        let outcome = match self.parse_optional("release_id")? {
            Some(release) => TargetOutcome::Released { release, status: self.release_status()? },
            None => TargetOutcome::Refused(self.get("error_message")?),
        };
        Ok(PromotionTarget { id: self.parse("id")?, app: self.app_id("app_id")?, outcome })
    }

    pub(super) fn webhook(&self) -> Result<Webhook, StoreError> {
        let include: String = self.get("include")?;
        let include = include.split(' ').map(str::parse).collect::<Result<_, _>>();
        Ok(Webhook {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            url: self.parse("url")?,
            include: include.map_err(|failed| self.broken("include", failed))?,
            level: self.parse("level")?,
            secret: self.parse("secret")?,
            authorization: self.parse_optional("authorization")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn webhook_event(&self) -> Result<WebhookEvent, StoreError> {
        Ok(WebhookEvent {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            entity: self.parse("entity")?,
            payload: self.get("payload")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    /// A delivery, joined with what its event is about and its webhook's level.
    pub(super) fn delivery(&self) -> Result<Delivery, StoreError> {
        let attempt = |id| {
            Ok::<_, StoreError>(Attempt {
                id,
                code: self.get("attempt_code")?,
                error: self.get("attempt_error")?,
                created_at_s: self.get("attempt_created_at_s")?,
                updated_at_s: self.get("attempt_updated_at_s")?,
            })
        };
        Ok(Delivery {
            id: self.parse("id")?,
            event: self.parse("event_id")?,
            entity: self.parse("entity")?,
            webhook: self.parse("webhook_id")?,
            level: self.parse("level")?,
            status: self.parse("status")?,
            attempts: self.get("attempts")?,
            next_attempt_at_s: self.get("next_attempt_at_s")?,
            last_attempt: self.parse_optional("attempt_id")?.map(attempt).transpose()?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn slug(&self) -> Result<Slug, StoreError> {
        Ok(Slug {
            digest: self.parse("digest")?,
            size: Bytes(self.unsigned("size_bytes")?),
            process_types: self.process_types("process_types")?,
            buildpack_description: self.get("buildpack_description")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn repository(&self) -> Result<RepositoryLink, StoreError> {
        let count = |column: &str| {
            let count: i64 = self.get(column)?;
            u64::try_from(count).map_err(|failed| self.broken(column, failed))
        };
        let is_automatic: bool = self.get("automatic")?;
        Ok(RepositoryLink {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            url: self.parse("url")?,
            branch: self.parse("branch")?,
            secret: self.parse("secret")?,
            user: self.get("user")?,
            deploys: if is_automatic { Deploys::Automatic } else { Deploys::Off },
            asked: count("asked")?,
            done: count("done")?,
            commit: self.get("commit_id")?,
            outcome: self.get("outcome")?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(super) fn app_setup(&self) -> Result<AppSetup, StoreError> {
        let status: String = self.get("status")?;
        let status = [SetupStatus::Pending, SetupStatus::Succeeded, SetupStatus::Failed]
            .into_iter()
            .find(|known| known.as_str() == status)
            .ok_or_else(|| self.broken("status", status))?;
        let (output, exit_code): (Option<String>, Option<u8>) = (self.get("output")?, self.get("exit_code")?);
        Ok(AppSetup {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            app_name: self.parse("app_name")?,
            user: self.get("user")?,
            status,
            failure: self.get("failure")?,
            manifest_errors: self.json("manifest_errors")?,
            build: self.parse_optional("build")?,
            postdeploy: output.zip(exit_code).map(|(output, exit_code)| Postdeploy { output, exit_code }),
            success_url: self.get("success_url")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(super) fn build(&self) -> Result<Build, StoreError> {
        let status: String = self.get("status")?;
        let status = [BuildStatus::Pending, BuildStatus::Succeeded, BuildStatus::Failed]
            .into_iter()
            .find(|known| known.as_str() == status)
            .ok_or_else(|| self.broken("status", status))?;
        let release: Option<i64> = self.get("release")?;
        let release =
            release.map(u64::try_from).transpose().map_err(|failed| self.broken("release", failed))?;
        let output: String = self.get("output_path")?;
        Ok(Build {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            status,
            commit: self.get("commit_id")?,
            source: BuildSource {
                url: self.get("source_url")?,
                checksum: self.parse_optional("source_checksum")?,
                description: self.get("source_description")?,
            },
            buildpacks: self.json("buildpacks")?,
            user: self.get("user")?,
            slug: self.parse_optional("slug")?,
            release: release.map(Version),
            started_at_s: self.get("started_at_s")?,
            finished_at_s: self.get("finished_at_s")?,
            timings: timings(&self.json("timings_ms")?),
            output_path: PathBuf::from(output),
        })
    }
}

/// Every row of `sql`, read as `read` says.
pub(super) fn all<T>(
    connection: &rusqlite::Connection,
    table: &'static str,
    (sql, params): (&str, &[&dyn rusqlite::ToSql]),
    read: impl Fn(&Record<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).attempt("prepare a query")?;
    let mut rows = statement.query(params).attempt("be queried")?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().attempt("be read")? {
        found.push(read(&Record::new(table, row))?);
    }
    Ok(found)
}

/// The first row of `sql`, if any.
pub(super) fn first<T>(
    connection: &rusqlite::Connection,
    table: &'static str,
    query: (&str, &[&dyn rusqlite::ToSql]),
    read: impl Fn(&Record<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    Ok(all(connection, table, query, read)?.into_iter().next())
}

/// Process types as kept on disk.
pub(super) fn process_types_text(types: &BTreeMap<ProcessType, String>) -> String {
    json_object(types.iter().map(|(name, command)| (name.as_str(), command.as_str())))
}

/// Config vars as kept on disk.
pub(super) fn config_text(config: &ConfigVars) -> String {
    json_object(config.iter())
}

fn json_object<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(key, value)| (key.to_owned(), value.into())).collect();
    serde_json::Value::Object(object).to_string()
}

/// Times of phases as kept on disk, milliseconds by name.
pub(super) fn timings_text(timings: &[PhaseTime]) -> String {
    let spent = |time: &PhaseTime| u64::try_from(time.spent.as_millis()).unwrap_or(u64::MAX);
    let object: serde_json::Map<String, serde_json::Value> =
        timings.iter().map(|time| (time.phase.as_str().to_owned(), spent(time).into())).collect();
    serde_json::Value::Object(object).to_string()
}

/// Phases that are kept on disk; of one that nobody knows any more no time is told.
fn timings(kept: &BTreeMap<String, u64>) -> Vec<PhaseTime> {
    let time = |phase: BuildPhase| {
        let spent = Duration::from_millis(*kept.get(phase.as_str())?);
        Some(PhaseTime { phase, spent })
    };
    BuildPhase::ALL.into_iter().filter_map(time).collect()
}

/// A number as SQLite keeps it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
