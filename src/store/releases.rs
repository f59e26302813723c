//! Releases: one transaction each, numbered without gaps, never edited but for their status.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

use crate::domain::{
    AppId, ConfigVars, DynoId, DynoName, Formation, ProcessType, Release, ReleasePhase, ReleaseStatus, Slug,
    SlugDigest, StackName, Version,
};
use crate::store::apps::{replace_formation, require};
use crate::store::builds::slug_of;
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

/// How a release phase ends.
#[derive(Clone, Debug)]
pub enum PhaseEnd {
    /// The release runs from now on, with this formation.
    Succeeded(Formation),
    /// The release never runs.
    Failed,
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
            let release = insert(&transaction, &new, ReleaseStatus::Succeeded)?;
            if let Some(formation) = &new.formation {
                replace_formation(&transaction, new.app, formation)?;
            }
            transaction.commit().attempt("keep a release")?;
            Ok(release)
        })
        .await
    }

    /// Makes the next release of an app, pending until its command, which the dyno `name` runs, has ended. It changes
    /// nothing that runs, and its formation is not looked at before [`Store::finish_phase`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], the slug is not recorded, or the database fails.
    pub async fn create_pending_release(
        &self,
        new: NewRelease,
        dyno: DynoId,
        name: DynoName,
    ) -> Result<Release, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to make a release")?;
            require(&transaction, new.app)?;
            let release = insert(&transaction, &new, ReleaseStatus::Pending)?;
            let sql = "INSERT INTO release_phases (app_id, version, dyno_id, dyno) VALUES (?1, ?2, ?3, ?4)";
            let values =
                params![new.app.to_string(), signed(release.version.0), dyno.to_string(), name.to_string()];
            transaction.execute(sql, values).attempt("keep a release's phase")?;
            transaction.commit().attempt("keep a release")?;
            Ok(release)
        })
        .await
    }

    /// Ends the phase of a pending release. A phase that has ended stays as it ended.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRelease`] where no such release is pending, or the database fails.
    pub async fn finish_phase(&self, app: AppId, version: Version, end: PhaseEnd) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to end a release's phase")?;
            let status = match &end {
                PhaseEnd::Succeeded(_) => ReleaseStatus::Succeeded,
                PhaseEnd::Failed => ReleaseStatus::Failed,
            };
            let sql = "UPDATE releases SET status = ?3 WHERE app_id = ?1 AND version = ?2 AND status = ?4";
            let pending = ReleaseStatus::Pending.as_str();
            let values = params![app.to_string(), signed(version.0), status.as_str(), pending];
            if transaction.execute(sql, values).attempt("change a release's status")? == 0 {
                return Err(StoreError::NoSuchRelease { app, version });
            }
            if let PhaseEnd::Succeeded(formation) = &end {
                replace_formation(&transaction, app, formation)?;
            }
            transaction.commit().attempt("keep the end of a release's phase")
        })
        .await
    }

    /// The phases of every pending release of the node.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pending_phases(&self) -> Result<Vec<ReleasePhase>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT release_phases.* FROM release_phases JOIN releases USING (app_id, version) \
                       WHERE releases.status = ?1";
            let pending = ReleaseStatus::Pending.as_str();
            all(connection, "release_phases", (sql, &[&pending]), |record| record.release_phase())
        })
        .await
    }

    /// Takes their slugs from releases of an app; those that had succeeded are expired. Returns the slugs that no release
    /// runs any more: their files can go, and their records are gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn expire_releases(
        &self,
        app: AppId,
        versions: Vec<Version>,
    ) -> Result<Vec<SlugDigest>, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to let releases expire")?;
            let text = app.to_string();
            let mut slugs = BTreeSet::new();
            for version in versions {
                let version = signed(version.0);
                let sql = "SELECT * FROM releases WHERE app_id = ?1 AND version = ?2 AND status <> ?3";
                let pending = ReleaseStatus::Pending.as_str();
                let release =
                    first(&transaction, "releases", (sql, &[&text, &version, &pending]), |record| {
                        record.release()
                    })?;
                slugs.extend(release.and_then(|release| release.slug));
                let sql = "UPDATE releases SET slug = NULL, \
                           status = CASE status WHEN ?3 THEN ?4 ELSE status END \
                           WHERE app_id = ?1 AND version = ?2 AND status <> ?5";
                let (succeeded, expired) =
                    (ReleaseStatus::Succeeded.as_str(), ReleaseStatus::Expired.as_str());
                let values = params![text, version, succeeded, expired, pending];
                transaction.execute(sql, values).attempt("let a release expire")?;
            }
            let mut orphans = Vec::new();
            for slug in slugs {
                if forget_orphan(&transaction, &slug)? {
                    orphans.push(slug);
                }
            }
            transaction.commit().attempt("let releases expire")?;
            Ok(orphans)
        })
        .await
    }

    /// The newest release of an app, whatever became of it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn newest_release(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM releases WHERE app_id = ?1 ORDER BY version DESC LIMIT 1";
            first(connection, "releases", (sql, &[&app.to_string()]), |record| record.release())
        })
        .await
    }

    /// The release of this identity, and its app.
    ///
    /// # Errors
    /// The database fails.
    pub async fn release_by_id(&self, id: Uuid) -> Result<Option<(AppId, Release)>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM releases WHERE id = ?1";
            first(connection, "releases", (sql, &[&id.to_string()]), |record| {
                Ok((record.app_id("app_id")?, record.release()?))
            })
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
        self.call(move |connection| current(connection, app)).await
    }

    /// The same of several apps, with what is known of their slugs; apps that are not there are left out.
    ///
    /// # Errors
    /// The database fails.
    pub async fn current_releases(
        &self,
        apps: Vec<AppId>,
    ) -> Result<BTreeMap<AppId, (Release, Option<Slug>)>, StoreError> {
        self.call(move |connection| {
            let mut found = BTreeMap::new();
            for app in apps {
                let Some(release) = current(connection, app)? else { continue };
                let slug = match &release.slug {
                    Some(digest) => slug_of(connection, digest)?,
                    None => None,
                };
                found.insert(app, (release, slug));
            }
            Ok(found)
        })
        .await
    }
}

fn current(connection: &Connection, app: AppId) -> Result<Option<Release>, StoreError> {
    let sql = "SELECT * FROM releases WHERE app_id = ?1 AND status = ?2 ORDER BY version DESC LIMIT 1";
    let succeeded = ReleaseStatus::Succeeded.as_str();
    first(connection, "releases", (sql, &[&app.to_string(), &succeeded]), |record| record.release())
}

/// Forgets a slug that no release runs; tells whether it did.
pub(super) fn forget_orphan(transaction: &Transaction<'_>, slug: &SlugDigest) -> Result<bool, StoreError> {
    let sql = "DELETE FROM slugs WHERE digest = ?1 \
               AND digest NOT IN (SELECT slug FROM releases WHERE slug NOT NULL)";
    Ok(transaction.execute(sql, [slug.as_str()]).attempt("forget a slug")? > 0)
}

/// Adds the next release; the caller holds the transaction, so no two get one version.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    new: &NewRelease,
    status: ReleaseStatus,
) -> Result<Release, StoreError> {
    let app = new.app.to_string();
    let next = "SELECT COALESCE(MAX(version), 0) + 1 FROM releases WHERE app_id = ?1";
    let version: i64 = transaction.query_row(next, [&app], |row| row.get(0)).attempt("number a release")?;
    let release = Release {
        id: Uuid::new_v4(),
        version: Version(version.unsigned_abs()),
        description: new.description.clone(),
        user: new.user.clone(),
        status,
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
