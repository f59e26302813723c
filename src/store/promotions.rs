//! Promotions: which slug went from which app to which.

use rusqlite::params;
use uuid::Uuid;

use crate::domain::{Promotion, PromotionTarget, TargetOutcome};
use crate::store::Store;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first, signed};

// === impl Store ===

impl Store {
    /// Keeps a promotion with all of its targets, and forgets the oldest of the pipeline beyond [`Promotion::KEPT_MAX`].
    /// A target that has gone meanwhile is left out.
    ///
    /// # Errors
    /// The pipeline or the source is gone, or the database fails.
    pub async fn keep_promotion(&self, promotion: Promotion) -> Result<(), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to keep a promotion")?;
            let (id, pipeline) = (promotion.id.to_string(), promotion.pipeline.to_string());
            let sql = "INSERT INTO promotions (id, pipeline_id, source_id, release_id, created_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let (source, release) = (promotion.source.to_string(), promotion.release.to_string());
            let values = params![id, pipeline, source, release, promotion.created_at_s];
            transaction.execute(sql, values).attempt("keep a promotion")?;
            let sql = "INSERT INTO promotion_targets (id, promotion_id, app_id, release_id, error_message) \
                       SELECT ?1, ?2, id, ?4, ?5 FROM apps WHERE id = ?3";
            for target in &promotion.targets {
                let (release, error) = match &target.outcome {
                    TargetOutcome::Released { release, .. } => (Some(release.to_string()), None),
                    TargetOutcome::Refused(reason) => (None, Some(reason)),
                };
                let values = params![target.id.to_string(), id, target.app.to_string(), release, error];
                transaction.execute(sql, values).attempt("keep the target of a promotion")?;
            }
            let sql = "DELETE FROM promotions WHERE pipeline_id = ?1 AND id NOT IN (SELECT id FROM promotions \
                       WHERE pipeline_id = ?1 ORDER BY created_at_s DESC, rowid DESC LIMIT ?2)";
            let kept = signed(u64::try_from(Promotion::KEPT_MAX).unwrap_or(u64::MAX));
            transaction.execute(sql, params![pipeline, kept]).attempt("forget old promotions")?;
            transaction.commit().attempt("keep a promotion for good")
        })
        .await
    }

    /// A promotion, with how its releases fare now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn promotion(&self, id: Uuid) -> Result<Option<Promotion>, StoreError> {
        self.call(move |connection| {
            let id = id.to_string();
            let sql = "SELECT promotion_targets.*, releases.status AS status FROM promotion_targets \
                       LEFT JOIN releases ON releases.id = release_id \
                       WHERE promotion_id = ?1 ORDER BY promotion_targets.rowid";
            let targets: Vec<PromotionTarget> =
                all(connection, "promotion_targets", (sql, &[&id]), |record| record.promotion_target())?;
            let sql = "SELECT * FROM promotions WHERE id = ?1";
            first(connection, "promotions", (sql, &[&id]), |record| record.promotion(targets.clone()))
        })
        .await
    }
}
