//! Runs of the tests of pipelines, and the config vars of stages.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::domain::{ConfigVars, ConfigVarsError, Stage, TestRun, TestStatus, TestedCommit};
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{Record, all, config_text, first, signed};
use crate::store::{Store, now_s};

/// A run that begins.
#[derive(Clone, Debug)]
pub struct NewTestRun {
    /// Its identity, chosen by the caller: output files carry it.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: Uuid,
    /// Who asked for it.
    pub user: String,
    /// What is tested.
    pub commit: TestedCommit,
    /// Where the source is fetched from.
    pub source_url: Option<String>,
}

/// How a run fares from now on.
#[derive(Clone, Debug)]
pub struct TestProgress {
    /// How.
    pub status: TestStatus,
    /// What the tests ended with.
    pub exit_code: Option<u8>,
    /// Why they did not come to their end.
    pub message: Option<String>,
}

// === impl Store ===

impl Store {
    /// Records that a run begins, under the next number of its pipeline. Those that are older than the last many go, but for
    /// those that go on: their identities are told.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPipeline`], or the database fails.
    pub async fn create_test_run(&self, new: NewTestRun) -> Result<(TestRun, Vec<Uuid>), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to record a test run")?;
            let pipeline = new.pipeline.to_string();
            let sql = "SELECT * FROM pipelines WHERE id = ?1";
            first(&transaction, "pipelines", (sql, &[&pipeline]), |record| record.pipeline())?
                .ok_or(StoreError::NoSuchPipeline)?;
            let sql = "SELECT * FROM test_runs WHERE pipeline_id = ?1 ORDER BY number DESC";
            let earlier = all(&transaction, "test_runs", (sql, &[&pipeline]), |record| record.test_run())?;
            let now = now_s();
            let made = TestRun {
                id: new.id,
                pipeline: new.pipeline,
                number: earlier.first().map_or(1, |newest| newest.number + 1),
                user: new.user,
                commit: new.commit,
                source_url: new.source_url,
                status: TestStatus::Pending,
                exit_code: None,
                message: None,
                created_at_s: now,
                updated_at_s: now,
            };
            let sql = "INSERT INTO test_runs (id, pipeline_id, number, user, commit_branch, commit_message, commit_sha, \
                       source_url, status, created_at_s, updated_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)";
            let values = params![
                made.id.to_string(),
                pipeline,
                signed(made.number),
                made.user,
                made.commit.branch,
                made.commit.message,
                made.commit.sha,
                made.source_url,
                made.status.as_str(),
                now,
            ];
            transaction.execute(sql, values).attempt("record a test run")?;
            let old = earlier.into_iter().skip(TestRun::KEPT_MAX - 1).filter(|run| run.status.is_over());
            let gone: Vec<Uuid> = old.map(|run| run.id).collect();
            for id in &gone {
                let sql = "DELETE FROM test_runs WHERE id = ?1";
                transaction.execute(sql, [id.to_string()]).attempt("forget a test run")?;
            }
            transaction.commit().attempt("keep a test run")?;
            Ok((made, gone))
        })
        .await
    }

    /// Records how a run fares. One that is over stays as it is, and so does one whose pipeline is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_test_run(&self, id: Uuid, progress: TestProgress) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE test_runs SET status = ?2, exit_code = ?3, message = ?4, updated_at_s = ?5 \
                       WHERE id = ?1 AND status IN ('pending', 'building', 'running')";
            let TestProgress { status, exit_code, message } = progress;
            let values = params![id.to_string(), status.as_str(), exit_code, message, now_s()];
            connection.execute(sql, values).attempt("record how a test run fares").map(drop)
        })
        .await
    }

    /// Marks as errored every run that an earlier process left unfinished, and tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn fail_unfinished_test_runs(&self, message: String) -> Result<usize, StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE test_runs SET status = ?1, message = ?2, updated_at_s = ?3 \
                       WHERE status IN ('pending', 'building', 'running')";
            let values = params![TestStatus::Errored.as_str(), message, now_s()];
            connection.execute(sql, values).attempt("end unfinished test runs")
        })
        .await
    }

    /// A run by its identity.
    ///
    /// # Errors
    /// The database fails.
    pub async fn test_run(&self, id: Uuid) -> Result<Option<TestRun>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM test_runs WHERE id = ?1";
            first(connection, "test_runs", (sql, &[&id.to_string()]), |record| record.test_run())
        })
        .await
    }

    /// The runs of a pipeline, by number.
    ///
    /// # Errors
    /// The database fails.
    pub async fn test_runs(&self, pipeline: Uuid) -> Result<Vec<TestRun>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM test_runs WHERE pipeline_id = ?1 ORDER BY number";
            all(connection, "test_runs", (sql, &[&pipeline.to_string()]), |record| record.test_run())
        })
        .await
    }

    /// The config vars of a stage of a pipeline.
    ///
    /// # Errors
    /// The database fails.
    pub async fn stage_config(&self, pipeline: Uuid, stage: Stage) -> Result<ConfigVars, StoreError> {
        self.call(move |connection| config_of(connection, pipeline, stage)).await
    }

    /// Sets and removes config vars of a stage of a pipeline; tells all of them after it, or why the result cannot be an
    /// environment.
    ///
    /// # Errors
    /// The database fails, as it does where there is no such pipeline.
    pub async fn change_stage_config(
        &self,
        pipeline: Uuid,
        stage: Stage,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<Result<ConfigVars, ConfigVarsError>, StoreError> {
        self.call(move |connection| {
            let transaction =
                connection.transaction().attempt("begin to change the config vars of a stage")?;
            let config = match config_of(&transaction, pipeline, stage)?.changed(&changes) {
                Ok(config) => config,
                Err(refused) => return Ok(Err(refused)),
            };
            let sql = "INSERT INTO stage_config (pipeline_id, stage, config) VALUES (?1, ?2, ?3) \
                       ON CONFLICT (pipeline_id, stage) DO UPDATE SET config = ?3";
            let values = params![pipeline.to_string(), stage.as_str(), config_text(&config)];
            transaction.execute(sql, values).attempt("change the config vars of a stage")?;
            transaction.commit().attempt("keep the config vars of a stage")?;
            Ok(Ok(config))
        })
        .await
    }
}

fn config_of(connection: &Connection, pipeline: Uuid, stage: Stage) -> Result<ConfigVars, StoreError> {
    let sql = "SELECT * FROM stage_config WHERE pipeline_id = ?1 AND stage = ?2";
    let (pipeline, stage) = (pipeline.to_string(), stage.as_str());
    let found = first(connection, "stage_config", (sql, &[&pipeline, &stage]), |record| record.config())?;
    Ok(found.unwrap_or_default())
}

impl Record<'_> {
    fn test_run(&self) -> Result<TestRun, StoreError> {
        Ok(TestRun {
            id: self.parse("id")?,
            pipeline: self.parse("pipeline_id")?,
            number: self.unsigned("number")?,
            user: self.get("user")?,
            commit: TestedCommit {
                branch: self.get("commit_branch")?,
                message: self.get("commit_message")?,
                sha: self.get("commit_sha")?,
            },
            source_url: self.get("source_url")?,
            status: self.parse("status")?,
            exit_code: self.get("exit_code")?,
            message: self.get("message")?,
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn the_last_many_are_kept_and_those_that_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state.db")).unwrap();
        let pipeline = store.create_pipeline("line".parse().unwrap(), None).await.unwrap().id;
        let new = || NewTestRun {
            id: Uuid::new_v4(),
            pipeline,
            user: "me@example.com".to_owned(),
            commit: TestedCommit::default(),
            source_url: None,
        };
        let over = |status| TestProgress { status, exit_code: Some(0), message: None };
        let (lasting, _) = store.create_test_run(new()).await.unwrap();
        let (first, _) = store.create_test_run(new()).await.unwrap();
        store.note_test_run(first.id, over(TestStatus::Succeeded)).await.unwrap();
        store.note_test_run(first.id, over(TestStatus::Cancelled)).await.unwrap();
        let noted = store.test_run(first.id).await.unwrap().unwrap();
        assert_eq!((noted.status, noted.exit_code), (TestStatus::Succeeded, Some(0)), "what is over stays");
        for number in 3..=TestRun::KEPT_MAX as u64 {
            let (run, gone) = store.create_test_run(new()).await.unwrap();
            assert_eq!((run.number, gone), (number, vec![]));
        }
        let (_, gone) = store.create_test_run(new()).await.unwrap();
        assert!(gone.is_empty(), "the oldest goes on");
        let (last, gone) = store.create_test_run(new()).await.unwrap();
        assert_eq!((last.number, gone), (TestRun::KEPT_MAX as u64 + 2, vec![first.id]));
        assert_eq!(
            store.fail_unfinished_test_runs("cut off".to_owned()).await.unwrap(),
            TestRun::KEPT_MAX + 1
        );
        assert_eq!(store.test_run(lasting.id).await.unwrap().unwrap().status, TestStatus::Errored);
        store.remove_pipeline(pipeline).await.unwrap();
        assert!(store.test_runs(pipeline).await.unwrap().is_empty());
        let refused = store.create_test_run(new()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NoSuchPipeline), "{refused:?}");
    }
}
