//! Releases: one transaction each, numbered without gaps, never edited but for their status.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};
use uuid::Uuid;

use crate::domain::{
    AppId, ConfigVars, Formation, ProcessType, Release, ReleaseStatus, SlugDigest, StackName, Version,
};
use crate::store::apps::{replace_formation, require};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, config_text, first, process_types_text, signed};
use crate::store::{Store, now_s};

/// A release to be made; the store adds its version, identity and time.
#[derive(Clone, Debug)]
pub struct NewRelease {
    /// The app.
    pub app: AppId,
    /// Why it exists: `Deploy 1a2b3c4d`.
    pub description: String,
    /// Who makes it.
    pub user: String,
    /// What it runs; [`Store::record_slug`] must have recorded it.
    pub slug: Option<SlugDigest>,
    /// The source commit of the slug.
    pub commit: Option<String>,
    /// The stack it runs on.
    pub stack: StackName,
    /// The content version of that stack.
    pub stack_version: Option<String>,
    /// The commands of its process types.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Its config vars, whole.
    pub config: ConfigVars,
    /// The formation that comes with it; `None` keeps the app's.
    pub formation: Option<Formation>,
}

impl NewRelease {
    /// A release of an app that was never deployed: nothing but a description.
    #[must_use]
    pub fn blank(app: AppId, description: String, user: String, stack: StackName) -> Self {
        Self {
            app,
            description,
            user,
            slug: None,
            commit: None,
            stack,
            stack_version: None,
            process_types: BTreeMap::new(),
            config: ConfigVars::default(),
            formation: None,
        }
    }

    /// A release that differs from `base` in its description and user only: change what it is about.
    #[must_use]
    pub fn from_release(app: AppId, base: &Release, description: String, user: String) -> Self {
        Self {
            app,
            description,
            user,
            slug: base.slug.clone(),
            commit: base.commit.clone(),
            stack: base.stack.clone(),
            stack_version: base.stack_version.clone(),
            process_types: base.process_types.clone(),
            config: base.config.clone(),
            formation: None,
        }
    }
}

// === impl Store ===

impl Store {
    /// Makes the next release of an app, succeeded and therefore current, and its formation with it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], the slug is not recorded, or the database fails.
    pub async fn create_release(&self, new: NewRelease) -> Result<Release, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to make a release")?;
            require(&transaction, new.app)?;
            let release = insert(&transaction, &new)?;
            if let Some(formation) = &new.formation {
                replace_formation(&transaction, new.app, formation)?;
            }
            transaction.commit().attempt("keep a release")?;
            Ok(release)
        })
        .await
    }

    /// Every release of an app, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn releases(&self, app: AppId) -> Result<Vec<Release>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM releases WHERE app_id = ?1 ORDER BY version DESC";
            all(connection, "releases", (sql, &[&app.to_string()]), |record| record.release())
        })
        .await
    }

    /// One release of an app.
    ///
    /// # Errors
    /// The database fails.
    pub async fn release(&self, app: AppId, version: Version) -> Result<Option<Release>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM releases WHERE app_id = ?1 AND version = ?2";
            let version = signed(version.0);
            first(connection, "releases", (sql, &[&app.to_string(), &version]), |record| record.release())
        })
        .await
    }

    /// The release that an app runs: the highest that succeeded.
    ///
    /// # Errors
    /// The database fails.
    pub async fn current_release(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        self.call(move |connection| {
            let sql =
                "SELECT * FROM releases WHERE app_id = ?1 AND status = ?2 ORDER BY version DESC LIMIT 1";
            let succeeded = ReleaseStatus::Succeeded.as_str();
            first(connection, "releases", (sql, &[&app.to_string(), &succeeded]), |record| record.release())
        })
        .await
    }

    /// Tells how a release fares now.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRelease`], or the database fails.
    pub async fn set_release_status(
        &self,
        app: AppId,
        version: Version,
        status: ReleaseStatus,
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE releases SET status = ?3 WHERE app_id = ?1 AND version = ?2";
            let values = params![app.to_string(), signed(version.0), status.as_str()];
            match connection.execute(sql, values).attempt("change a release's status")? {
                0 => Err(StoreError::NoSuchRelease { app, version }),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// Adds the next release; the caller holds the transaction, so no two get one version.
pub(super) fn insert(transaction: &Transaction<'_>, new: &NewRelease) -> Result<Release, StoreError> {
    let app = new.app.to_string();
    let next = "SELECT COALESCE(MAX(version), 0) + 1 FROM releases WHERE app_id = ?1";
    let version: i64 = transaction.query_row(next, [&app], |row| row.get(0)).attempt("number a release")?;
    let release = Release {
        id: Uuid::new_v4(),
        version: Version(version.unsigned_abs()),
        description: new.description.clone(),
        user: new.user.clone(),
        status: ReleaseStatus::Succeeded,
        slug: new.slug.clone(),
        commit: new.commit.clone(),
        stack: new.stack.clone(),
        stack_version: new.stack_version.clone(),
        process_types: new.process_types.clone(),
        config: new.config.clone(),
        created_at_s: now_s(),
    };
    let sql = "INSERT INTO releases (app_id, version, id, description, user, status, slug, commit_id, stack, \
               stack_version, process_types, config, created_at_s) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = params![
        app,
        version,
        release.id.to_string(),
        release.description,
        release.user,
        release.status.as_str(),
        release.slug.as_ref().map(SlugDigest::as_str),
        release.commit,
        release.stack.as_str(),
        release.stack_version,
        process_types_text(&release.process_types),
        config_text(&release.config),
        release.created_at_s,
    ];
    transaction.execute(sql, values).attempt("add a release")?;
    Ok(release)
}
