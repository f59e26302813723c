//! Pipelines, and the places of apps in them.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{AppId, Coupling, Email, Pipeline, PipelineName, Stage};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first};
use crate::store::{Store, now_s};

// === impl Store ===

impl Store {
    /// Makes a pipeline without apps.
    ///
    /// # Errors
    /// [`StoreError::PipelineNameTaken`], [`StoreError::TooManyPipelines`], or the database fails.
    pub async fn create_pipeline(
        &self,
        name: PipelineName,
        owner: Option<Email>,
    ) -> Result<Pipeline, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to make a pipeline")?;
            let owner_text = owner.as_ref().map(Email::as_str);
            let sql = "SELECT * FROM pipelines WHERE owner IS ?1";
            let owned = all(&transaction, "pipelines", (sql, &[&owner_text]), |record| record.pipeline())?;
            if owned.len() >= Pipeline::PER_OWNER_MAX {
                return Err(StoreError::TooManyPipelines);
            }
            let now = now_s();
            let made = Pipeline { id: Uuid::new_v4(), name, owner, created_at_s: now, updated_at_s: now };
            let sql = "INSERT INTO pipelines (id, name, owner, created_at_s, updated_at_s) VALUES (?1, ?2, ?3, ?4, ?4)";
            let owner_text = made.owner.as_ref().map(Email::as_str);
            let values = params![made.id.to_string(), made.name.as_str(), owner_text, now];
            name_taken_or(transaction.execute(sql, values), &made.name, "make a pipeline")?;
            transaction.commit().attempt("keep a pipeline")?;
            Ok(made)
        })
        .await
    }

    /// Every pipeline, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT * FROM pipelines ORDER BY name";
            all(connection, "pipelines", (sql, &[]), |record| record.pipeline())
        })
        .await
    }

    /// Gives a pipeline another name.
    ///
    /// # Errors
    /// [`StoreError::PipelineNameTaken`], [`StoreError::NoSuchPipeline`], or the database fails.
    pub async fn rename_pipeline(&self, id: Uuid, name: PipelineName) -> Result<Pipeline, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to rename a pipeline")?;
            let sql = "UPDATE pipelines SET name = ?2, updated_at_s = ?3 WHERE id = ?1";
            let values = params![id.to_string(), name.as_str(), now_s()];
            name_taken_or(transaction.execute(sql, values), &name, "rename a pipeline")?;
            let renamed = pipeline(&transaction, id)?.ok_or(StoreError::NoSuchPipeline)?;
            transaction.commit().attempt("keep the name of a pipeline")?;
            Ok(renamed)
        })
        .await
    }

    /// Gives a pipeline to another user.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPipeline`], or the database fails.
    pub async fn give_pipeline(&self, id: Uuid, owner: Email) -> Result<Pipeline, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to give a pipeline away")?;
            let sql = "UPDATE pipelines SET owner = ?2, updated_at_s = ?3 WHERE id = ?1";
            let values = params![id.to_string(), owner.as_str(), now_s()];
            transaction.execute(sql, values).attempt("give a pipeline away")?;
            let given = pipeline(&transaction, id)?.ok_or(StoreError::NoSuchPipeline)?;
            transaction.commit().attempt("keep the owner of a pipeline")?;
            Ok(given)
        })
        .await
    }

    /// Removes a pipeline; its apps stay, and are in none. One that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_pipeline(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM pipelines WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove a pipeline").map(drop)
        })
        .await
    }

    /// Puts an app into a pipeline.
    ///
    /// # Errors
    /// [`StoreError::InPipeline`], [`StoreError::TooManyInPipeline`], [`StoreError::NoSuchPipeline`],
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_coupling(
        &self,
        app: AppId,
        pipeline_id: Uuid,
        stage: Stage,
    ) -> Result<Coupling, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to put an app into a pipeline")?;
            require(&transaction, app)?;
            pipeline(&transaction, pipeline_id)?.ok_or(StoreError::NoSuchPipeline)?;
            let sql = "SELECT * FROM couplings WHERE pipeline_id = ?1";
            let id = pipeline_id.to_string();
            let there = all(&transaction, "couplings", (sql, &[&id]), |record| record.coupling())?;
            if there.len() >= Pipeline::APPS_MAX {
                return Err(StoreError::TooManyInPipeline);
            }
            let now = now_s();
            let added = Coupling {
                id: Uuid::new_v4(),
                app,
                pipeline: pipeline_id,
                stage,
                created_at_s: now,
                updated_at_s: now,
            };
            let sql = "INSERT INTO couplings (app_id, pipeline_id, id, stage, created_at_s, updated_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
            let values = params![app.to_string(), id, added.id.to_string(), stage.as_str(), now];
            match transaction.execute(sql, values) {
                Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    return Err(StoreError::InPipeline(app));
                }
                result => result.attempt("put an app into a pipeline")?,
            };
            transaction.commit().attempt("keep an app's place in a pipeline")?;
            Ok(added)
        })
        .await
    }

    /// Moves an app to another stage of its pipeline.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_stage(&self, coupling: Uuid, stage: Stage) -> Result<Option<Coupling>, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to move an app to another stage")?;
            let sql = "UPDATE couplings SET stage = ?2, updated_at_s = ?3 WHERE id = ?1";
            let id = coupling.to_string();
            let values = params![id, stage.as_str(), now_s()];
            transaction.execute(sql, values).attempt("move an app to another stage")?;
            let sql = "SELECT * FROM couplings WHERE id = ?1";
            let moved = first(&transaction, "couplings", (sql, &[&id]), |record| record.coupling())?;
            transaction.commit().attempt("keep an app's stage")?;
            Ok(moved)
        })
        .await
    }

    /// Every place of an app in a pipeline, by stage and age.
    ///
    /// # Errors
    /// The database fails.
    pub async fn couplings(&self) -> Result<Vec<Coupling>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT * FROM couplings ORDER BY created_at_s, rowid";
            let mut found = all(connection, "couplings", (sql, &[]), |record| record.coupling())?;
            found.sort_by_key(|coupling| coupling.stage);
            Ok(found)
        })
        .await
    }

    /// The place of an app in its pipeline, if it is in one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn coupling_of(&self, app: AppId) -> Result<Option<Coupling>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM couplings WHERE app_id = ?1";
            first(connection, "couplings", (sql, &[&app.to_string()]), |record| record.coupling())
        })
        .await
    }

    /// Takes an app out of its pipeline; what is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_coupling(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM couplings WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("take an app out of a pipeline").map(drop)
        })
        .await
    }
}

fn pipeline(connection: &Connection, id: Uuid) -> Result<Option<Pipeline>, StoreError> {
    let sql = "SELECT * FROM pipelines WHERE id = ?1";
    first(connection, "pipelines", (sql, &[&id.to_string()]), |record| record.pipeline())
}

/// The name is the only text there that must be unique besides the random identity.
fn name_taken_or(
    result: Result<usize, rusqlite::Error>,
    name: &PipelineName,
    attempt: &'static str,
) -> Result<usize, StoreError> {
    match result {
        Err(failed) if failed.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(StoreError::PipelineNameTaken(name.clone()))
        }
        result => result.attempt(attempt),
    }
}
