//! Apps, their formation and their buildpack list.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode, Transaction, params};
use uuid::Uuid;

use crate::domain::{
    App, AppId, AppName, Email, Formation, FormationEntry, ReleaseStatus, SlugDigest, StackName, Switch,
};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{Record, all, first, signed};
use crate::store::releases::{self, NewRelease};
use crate::store::{Store, now_s};

/// An app to be made.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// Its name.
    pub name: AppName,
    /// Whose it is; the node's administrator's when nobody is named.
    pub owner: Option<Email>,
    /// The stack its builds run on.
    pub build_stack: StackName,
    /// Who makes it.
    pub user: String,
    /// The descriptions of the releases it is born with, from v1 on.
    pub first_releases: Vec<String>,
}

/// What to change of an app; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct AppChange {
    /// Another name.
    pub name: Option<AppName>,
    /// Another stack for later builds.
    pub build_stack: Option<StackName>,
    /// Maintenance on or off.
    pub maintenance: Option<bool>,
    /// Another owner.
    pub owner: Option<Email>,
}

// === impl Store ===

impl Store {
    /// The identity of this node, made with its database.
    ///
    /// # Errors
    /// The database fails.
    pub async fn node_id(&self) -> Result<Uuid, StoreError> {
        self.call(|connection| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let text: String = connection
                .query_row(sql, [super::migrate::META_NODE_ID], |row| row.get(0))
                .attempt("tell the node's identity")?;
            text.parse().map_err(|failed: uuid::Error| StoreError::Record {
                table: "meta",
                reason: failed.to_string(),
            })
        })
        .await
    }

    /// Makes an app with its first releases.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], or the database fails.
    pub async fn create_app(&self, new: NewApp) -> Result<App, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to make an app")?;
            let app = App {
                id: AppId(Uuid::new_v4()),
                name: new.name,
                owner: new.owner,
                build_stack: new.build_stack,
                maintenance: false,
                acm: Switch::Off,
                created_at_s: now_s(),
            };
            let sql = "INSERT INTO apps (id, name, owner, build_stack, maintenance, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            transaction
                .execute(
                    sql,
                    params![
                        app.id.to_string(),
                        app.name.as_str(),
                        app.owner.as_ref().map(Email::as_str),
                        app.build_stack.as_str(),
                        app.maintenance,
                        app.created_at_s
                    ],
                )
                .map_err(|failed| name_taken_or(failed, &app.name, "make an app"))?;
            for description in new.first_releases {
                let release =
                    NewRelease::blank(app.id, description, new.user.clone(), app.build_stack.clone());
                releases::insert(&transaction, &release, ReleaseStatus::Succeeded)?;
            }
            transaction.commit().attempt("keep a new app")?;
            Ok(app)
        })
        .await
    }

    /// Every app, ordered by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        self.call(|connection| {
            all(connection, "apps", ("SELECT * FROM apps ORDER BY name", &[]), |record| record.app())
        })
        .await
    }

    /// The app of that name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn app_by_name(&self, name: &AppName) -> Result<Option<App>, StoreError> {
        let name = name.clone();
        self.call(move |connection| {
            let query = "SELECT * FROM apps WHERE name = ?1";
            first(connection, "apps", (query, &[&name.as_str()]), |record| record.app())
        })
        .await
    }

    /// The app of that identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn app_by_id(&self, id: AppId) -> Result<Option<App>, StoreError> {
        self.call(move |connection| find(connection, id)).await
    }

    /// Changes an app and returns it as it then is.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn change_app(&self, id: AppId, change: AppChange) -> Result<App, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to change an app")?;
            let mut app = find(&transaction, id)?.ok_or(StoreError::NoSuchApp(id))?;
            app.name = change.name.unwrap_or(app.name);
            app.build_stack = change.build_stack.unwrap_or(app.build_stack);
            app.maintenance = change.maintenance.unwrap_or(app.maintenance);
            app.owner = change.owner.or(app.owner);
            let sql =
                "UPDATE apps SET name = ?2, build_stack = ?3, maintenance = ?4, owner = ?5 WHERE id = ?1";
            transaction
                .execute(
                    sql,
                    params![
                        app.id.to_string(),
                        app.name.as_str(),
                        app.build_stack.as_str(),
                        app.maintenance,
                        app.owner.as_ref().map(Email::as_str)
                    ],
                )
                .map_err(|failed| name_taken_or(failed, &app.name, "change an app"))?;
            transaction.commit().attempt("keep a changed app")?;
            Ok(app)
        })
        .await
    }

    /// Removes an app with its releases, formation, builds and buildpack list. Returns the slugs that no release runs any
    /// more: their files can go, and their records are gone.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn destroy_app(&self, id: AppId) -> Result<Vec<SlugDigest>, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to destroy an app")?;
            let text = id.to_string();
            let sql = "SELECT * FROM slugs WHERE digest IN (SELECT slug FROM releases WHERE app_id = ?1)";
            let its_slugs = all(&transaction, "slugs", (sql, &[&text]), |record| record.slug())?;
            let gone =
                transaction.execute("DELETE FROM apps WHERE id = ?1", [&text]).attempt("destroy an app")?;
            if gone == 0 {
                return Err(StoreError::NoSuchApp(id));
            }
            let mut orphans = Vec::new();
            for slug in its_slugs {
                if releases::forget_orphan(&transaction, &slug.digest)? {
                    orphans.push(slug.digest);
                }
            }
            transaction.commit().attempt("destroy an app for good")?;
            Ok(orphans)
        })
        .await
    }

    /// The formation of an app.
    ///
    /// # Errors
    /// The database fails.
    pub async fn formation(&self, app: AppId) -> Result<Formation, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM formation WHERE app_id = ?1";
            let entries =
                all(connection, "formation", (sql, &[&app.to_string()]), |record| record.formation_entry())?;
            Ok(Formation::new(entries))
        })
        .await
    }

    /// The formations of all apps.
    ///
    /// # Errors
    /// The database fails.
    pub async fn formations(&self) -> Result<BTreeMap<AppId, Formation>, StoreError> {
        self.call(|connection| {
            let read = |record: &Record<'_>| Ok((record.app_id("app_id")?, record.formation_entry()?));
            let mut by_app = BTreeMap::<AppId, Vec<FormationEntry>>::new();
            for (app, entry) in all(connection, "formation", ("SELECT * FROM formation", &[]), read)? {
                by_app.entry(app).or_default().push(entry);
            }
            Ok(by_app.into_iter().map(|(app, entries)| (app, Formation::new(entries))).collect())
        })
        .await
    }

    /// Replaces the formation of an app.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_formation(&self, app: AppId, formation: Formation) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to scale")?;
            require(&transaction, app)?;
            replace_formation(&transaction, app, &formation)?;
            transaction.commit().attempt("keep a formation")
        })
        .await
    }

    /// The buildpacks of an app in their order; empty means that they are detected.
    ///
    /// # Errors
    /// The database fails.
    pub async fn buildpacks(&self, app: AppId) -> Result<Vec<String>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT url FROM buildpacks WHERE app_id = ?1 ORDER BY position";
            let mut statement = connection.prepare_cached(sql).attempt("prepare a query")?;
            let urls = statement.query_map([app.to_string()], |row| row.get(0)).attempt("be queried")?;
            urls.collect::<Result<_, _>>().attempt("tell an app's buildpacks")
        })
        .await
    }

    /// Replaces the buildpacks of an app.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn set_buildpacks(&self, app: AppId, urls: Vec<String>) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to set buildpacks")?;
            require(&transaction, app)?;
            let text = app.to_string();
            transaction
                .execute("DELETE FROM buildpacks WHERE app_id = ?1", [&text])
                .attempt("clear an app's buildpacks")?;
            for (position, url) in (0_i64..).zip(&urls) {
                let sql = "INSERT INTO buildpacks (app_id, position, url) VALUES (?1, ?2, ?3)";
                transaction.execute(sql, params![text, position, url]).attempt("keep a buildpack")?;
            }
            transaction.commit().attempt("keep an app's buildpacks")
        })
        .await
    }
}

pub(super) fn replace_formation(
    transaction: &Transaction<'_>,
    app: AppId,
    formation: &Formation,
) -> Result<(), StoreError> {
    let text = app.to_string();
    transaction.execute("DELETE FROM formation WHERE app_id = ?1", [&text]).attempt("clear a formation")?;
    for entry in formation.entries() {
        let sql = "INSERT INTO formation (app_id, process_type, quantity, size, stop_grace_s) VALUES (?1, ?2, ?3, ?4, ?5)";
        let grace = entry.stop_grace.map(|grace| signed(grace.as_secs()));
        let values = params![text, entry.process_type.as_str(), entry.quantity, entry.size.as_str(), grace];
        transaction.execute(sql, values).attempt("keep a part of a formation")?;
    }
    Ok(())
}

pub(super) fn require(connection: &Connection, id: AppId) -> Result<(), StoreError> {
    find(connection, id)?.map(drop).ok_or(StoreError::NoSuchApp(id))
}

fn find(connection: &Connection, id: AppId) -> Result<Option<App>, StoreError> {
    first(connection, "apps", ("SELECT * FROM apps WHERE id = ?1", &[&id.to_string()]), |record| record.app())
}

/// `apps.name` is the only text there that must be unique besides the random identity.
fn name_taken_or(failed: rusqlite::Error, name: &AppName, attempt: &'static str) -> StoreError {
    if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
        StoreError::NameTaken(name.clone())
    } else {
        StoreError::Sql { attempt, source: failed }
    }
}
