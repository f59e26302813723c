//! Builds and the slugs they make.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::domain::{AppId, Build, BuildSource, BuildStatus, PhaseTime, Slug, SlugDigest, Version};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first, process_types_text, signed, timings_text};
use crate::store::{Store, now_s};

/// A build that begins.
#[derive(Clone, Debug)]
pub struct NewBuild {
    /// Its identity, chosen by the caller: the output file may carry it.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// Which version the source is, as whoever sent it named it.
    pub commit: Option<String>,
    /// What else was said of it.
    pub source: BuildSource,
    /// The buildpacks that it is to use; none where they are detected.
    pub buildpacks: Vec<String>,
    /// Who asked for it.
    pub user: String,
    /// The file that takes what the pusher sees.
    pub output_path: PathBuf,
}

/// How a build ends.
#[derive(Clone, Debug)]
pub enum BuildEnd {
    /// With a slug, and the release that runs it.
    Succeeded {
        /// What was made.
        slug: SlugDigest,
        /// The release it is in.
        release: Version,
        /// The buildpacks that made it.
        buildpacks: Vec<String>,
        /// How long its phases took.
        timings: Vec<PhaseTime>,
    },
    /// With nothing.
    Failed {
        /// How long its phases took, the one in which it failed included.
        timings: Vec<PhaseTime>,
    },
}

// === impl Store ===

impl Store {
    /// Records a slug; recording it again changes nothing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn record_slug(&self, slug: Slug) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "INSERT INTO slugs (digest, size_bytes, process_types, buildpack_description, created_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (digest) DO NOTHING";
            let values = params![
                slug.digest.as_str(),
                signed(slug.size.0),
                process_types_text(&slug.process_types),
                slug.buildpack_description,
                slug.created_at_s,
            ];
            connection.execute(sql, values).attempt("keep a slug").map(drop)
        })
        .await
    }

    /// What is known of a slug.
    ///
    /// # Errors
    /// The database fails.
    pub async fn slug(&self, digest: &SlugDigest) -> Result<Option<Slug>, StoreError> {
        let digest = digest.clone();
        self.call(move |connection| slug_of(connection, &digest)).await
    }

    /// The slugs that a release runs.
    ///
    /// # Errors
    /// The database fails.
    pub async fn slugs_in_use(&self) -> Result<BTreeSet<SlugDigest>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT * FROM slugs WHERE digest IN (SELECT slug FROM releases)";
            let slugs = all(connection, "slugs", (sql, &[]), |record| record.slug())?;
            Ok(slugs.into_iter().map(|slug| slug.digest).collect())
        })
        .await
    }

    /// Records that a build begins.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn create_build(&self, new: NewBuild) -> Result<Build, StoreError> {
        self.call(move |connection| {
            require(connection, new.app)?;
            let build = Build {
                id: new.id,
                app: new.app,
                status: BuildStatus::Pending,
                commit: new.commit,
                source: new.source,
                buildpacks: new.buildpacks,
                user: new.user,
                slug: None,
                release: None,
                started_at_s: now_s(),
                finished_at_s: None,
                timings: Vec::new(),
                output_path: new.output_path,
            };
            let sql = "INSERT INTO builds (id, app_id, status, commit_id, user, started_at_s, output_path, \
                       source_url, source_checksum, source_description, buildpacks) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            let values = params![
                build.id.to_string(),
                build.app.to_string(),
                build.status.as_str(),
                build.commit,
                build.user,
                build.started_at_s,
                build.output_path.to_string_lossy(),
                build.source.url,
                build.source.checksum.as_ref().map(ToString::to_string),
                build.source.description,
                serde_json::Value::from(build.buildpacks.clone()).to_string(),
            ];
            connection.execute(sql, values).attempt("keep a build")?;
            Ok(build)
        })
        .await
    }

    /// Records how a build ended.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBuild`], or the database fails.
    pub async fn finish_build(&self, id: Uuid, end: BuildEnd) -> Result<(), StoreError> {
        self.call(move |connection| {
            let (status, made, timings) = match end {
                BuildEnd::Succeeded { slug, release, buildpacks, timings } => {
                    (BuildStatus::Succeeded, Some((slug, release, buildpacks)), timings)
                }
                BuildEnd::Failed { timings } => (BuildStatus::Failed, None, timings),
            };
            let sql = "UPDATE builds SET status = ?2, slug = ?3, release = ?4, finished_at_s = ?5, \
                       buildpacks = coalesce(?6, buildpacks), timings_ms = ?7 \
                       WHERE id = ?1";
            let made = made.as_ref();
            let values = params![
                id.to_string(),
                status.as_str(),
                made.map(|(slug, ..)| slug.as_str()),
                made.map(|(_, version, _)| signed(version.0)),
                now_s(),
                made.map(|(_, _, buildpacks)| serde_json::Value::from(buildpacks.clone()).to_string()),
                timings_text(&timings),
            ];
            match connection.execute(sql, values).attempt("keep a build's end")? {
                0 => Err(StoreError::NoSuchBuild(id)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Marks as failed every build that an earlier process left unfinished, and tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn fail_unfinished_builds(&self) -> Result<usize, StoreError> {
        self.call(|connection| {
            let sql = "UPDATE builds SET status = ?2, finished_at_s = ?3 WHERE status = ?1";
            let values = params![BuildStatus::Pending.as_str(), BuildStatus::Failed.as_str(), now_s()];
            connection.execute(sql, values).attempt("end unfinished builds")
        })
        .await
    }

    /// The builds of an app that are to be forgotten: all but the `newest`, and of those that began before `before_s` all but
    /// the `kept` newest. None of them runs.
    ///
    /// # Errors
    /// The database fails.
    pub async fn old_builds(
        &self,
        app: AppId,
        (newest, kept): (usize, usize),
        before_s: i64,
    ) -> Result<Vec<Build>, StoreError> {
        let goes = move |(place, build): &(usize, Build)| {
            let is_old = *place >= newest || (*place >= kept && build.started_at_s < before_s);
            is_old && build.status != BuildStatus::Pending
        };
        let builds = self.builds(app).await?;
        Ok(builds.into_iter().enumerate().filter(goes).map(|(_, build)| build).collect())
    }

    /// Forgets builds.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_builds(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to forget builds")?;
            for id in ids {
                let sql = "DELETE FROM builds WHERE id = ?1";
                transaction.execute(sql, [id.to_string()]).attempt("forget a build")?;
            }
            transaction.commit().attempt("forget builds")
        })
        .await
    }

    /// A build by its identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn build(&self, id: Uuid) -> Result<Option<Build>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM builds WHERE id = ?1";
            first(connection, "builds", (sql, &[&id.to_string()]), |record| record.build())
        })
        .await
    }

    /// The builds of an app, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn builds(&self, app: AppId) -> Result<Vec<Build>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM builds WHERE app_id = ?1 ORDER BY started_at_s DESC, rowid DESC";
            all(connection, "builds", (sql, &[&app.to_string()]), |record| record.build())
        })
        .await
    }
}

/// What is known of a slug.
pub(super) fn slug_of(connection: &Connection, digest: &SlugDigest) -> Result<Option<Slug>, StoreError> {
    let sql = "SELECT * FROM slugs WHERE digest = ?1";
    first(connection, "slugs", (sql, &[&digest.as_str()]), |record| record.slug())
}
