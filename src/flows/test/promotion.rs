//! Promotions to apps with a release command.

use super::super::phase::turn_after;
use super::*;
use crate::domain::{PromotionStatus, TargetOutcome};
use crate::flows::{Caller, PromotionRequest, add_to_pipeline, create_pipeline, promote, promotion};

#[tokio::test]
async fn a_promotion_is_pending_while_the_command_of_its_target_runs() {
    let stage = Stage::open();
    let node = &stage.node;
    let source = stage.app().await;
    let pushed = stage.push(&source).await;
    stage.end(0, EndCause::Itself).await;
    assert_eq!(pushed.phase.unwrap().outcome().await, PhaseOutcome::Succeeded);
    let request = NewAppRequest { name: Some("target".to_owned()), stack: None, owner: None };
    let target = create(node, request, &me()).await.unwrap().app;
    stage.set(&target, "OWN").await.unwrap();
    let caller = Caller::administrator(node);
    let pipeline = create_pipeline(node, &caller, "shop").await.unwrap();
    for (app, at) in [("example", "staging"), ("target", "production")] {
        add_to_pipeline(node, &caller, (app, "shop", at)).await.unwrap();
    }
    let request = PromotionRequest {
        pipeline: pipeline.id,
        source: source.id.0,
        release: None,
        targets: vec![target.id.0],
    };
    let status = async |id: uuid::Uuid| {
        let found = promotion(node, &caller, &id.to_string()).await.unwrap();
        (found.targets[0].status(), found.is_completed())
    };

    let first = promote(node, &caller, request.clone()).await.unwrap();
    assert_eq!(status(first.id).await, (PromotionStatus::Pending, false));
    let one_off = stage.one_off().await;
    assert_eq!((one_off.app.id, one_off.command.as_str()), (target.id, "do release"));
    let meanwhile = promote(node, &caller, request.clone()).await.unwrap();
    let TargetOutcome::Refused(reason) = &meanwhile.targets[0].outcome else { panic!("{meanwhile:?}") };
    assert!(reason.contains("is pending"), "{reason}");
    stage.end(1, EndCause::Itself).await;
    drop(turn_after(node, &target, |_| {}).await);
    assert_eq!(status(first.id).await, (PromotionStatus::Failed, true));
    assert_eq!(stage.statuses(&target).await, [(4, Failed, false), (3, Succeeded, true)]);

    let second = promote(node, &caller, request).await.unwrap();
    stage.end(0, EndCause::Itself).await;
    drop(turn_after(node, &target, |_| {}).await);
    assert_eq!(status(second.id).await, (PromotionStatus::Succeeded, true));
    let applied = stage.dynos.applied.lock().unwrap().last().unwrap().clone();
    assert_eq!((applied.app.id, applied.release.version.0, applied.formation.total()), (target.id, 5, 1));
    assert_eq!(applied.release.description, "Promote example v3 1a1a1a1a");
    let names: Vec<_> = applied.release.config.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["OWN"], "the target keeps its config vars");
}
