//! Add-ons over services that answer at once.

use super::*;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::{AddOn, BackupSchedule, BackupsKept, NodeMemory, Transfer, TransferState};
use crate::flows::add_ons::{begin_trial, look, see_off_again, settle, verify_newest};
use crate::flows::{
    AddOnRequest, AddOnUpdate, AddOnView, AttachRequest, Others, add_on_services, app_add_ons,
    app_attachments, attach_add_on, backup_link, bring_back_add_on, change_add_on, create_add_on,
    data_transfers, delete_transfer, destroy, destroy_add_on, detach_add_on, link_name, linked_backup,
    linked_transfer, removed_data, rotate_password, schedule_backups, unschedule_backups, verify_backup,
};
use crate::store::AddOnChange;
use crate::wire::api_errors::AddOnRefusal;

async fn made(stage: &Stage, app: &App) -> AddOnView {
    let request = AddOnRequest { plan: "postgresql".to_owned(), ..AddOnRequest::default() };
    create_add_on(&stage.node, app, request, &me()).await.unwrap();
    for _ in 0..500 {
        let view = app_add_ons(&stage.node, app).await.unwrap().remove(0);
        if view.add_on.provisioned && config(&stage.node, app).await.unwrap().get("DATABASE_URL").is_some() {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not provisioned");
}

async fn another(stage: &Stage) -> App {
    let request = NewAppRequest { name: Some("other".to_owned()), stack: None, owner: None };
    create(&stage.node, request, &me()).await.unwrap().app
}

async fn descriptions(stage: &Stage, app: &App) -> Vec<String> {
    releases(&stage.node, app).await.unwrap().into_iter().map(|view| view.release.description).collect()
}

#[tokio::test]
async fn an_add_on_gives_its_app_a_config_var_that_is_its_own() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let url = config(&stage.node, &app).await.unwrap().get("DATABASE_URL").unwrap().to_owned();
    assert!(url.starts_with("postgres://app:") && url.contains(&view.add_on.host()), "{url}");
    let name = view.add_on.name.to_string();
    assert!(name.starts_with("postgresql-"), "{name}");
    let told = &descriptions(&stage, &app).await[0];
    assert_eq!(*told, format!("@ref:{name} completed provisioning, setting DATABASE_URL."));
    for value in [None, Some("x".to_owned())] {
        let refused =
            change_config(&stage.node, &app, &[("DATABASE_URL".to_owned(), value)].into(), &me()).await;
        let Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::ConfigVarOwned { add_on, .. }))) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!(add_on, name);
    }
    assert_eq!(add_on_services().unwrap().len(), 2);
}

#[tokio::test]
async fn one_user_leaves_room_for_others() {
    let stage = Stage::open();
    let owner = Some("friend@example.com".parse().unwrap());
    let mut apps = Vec::new();
    for name in ["one", "two", "three"] {
        let request = NewAppRequest { name: Some(name.to_owned()), stack: None, owner: owner.clone() };
        apps.push(create(&stage.node, request, &me()).await.unwrap().app);
    }
    let request = || AddOnRequest { plan: "redis".to_owned(), ..AddOnRequest::default() };
    for number in 0..AddOn::PER_OWNER_MAX {
        create_add_on(&stage.node, &apps[number / AddOn::PER_APP_MAX], request(), &me()).await.unwrap();
    }
    let refused = create_add_on(&stage.node, &apps[2], request(), &me()).await;
    assert!(
        matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::TooManyOfOwner)))),
        "{refused:?}"
    );
    let other = another(&stage).await;
    create_add_on(&stage.node, &other, request(), &me()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_service_is_refused_with_those_there_are() {
    let stage = Stage::open();
    let app = stage.app().await;
    for plan in ["papertrail", "postgresql:enormous", ""] {
        let request = AddOnRequest { plan: plan.to_owned(), ..AddOnRequest::default() };
        let refused = create_add_on(&stage.node, &app, request, &me()).await;
        let Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::UnknownPlan { known, .. }))) = refused else {
            panic!("{refused:?}")
        };
        assert!(known.contains("heroku-redis:mini"), "{known}");
    }
    assert!(app_add_ons(&stage.node, &app).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_app_reaches_an_add_on_while_it_is_attached_to_it() {
    let stage = Stage::open();
    let (app, other) = (stage.app().await, another(&stage).await);
    let view = made(&stage, &app).await;
    let request = AttachRequest { name: Some("shared".to_owned()), confirm: None };
    let has = attach_add_on(&stage.node, &view, &other, request.clone(), &me()).await.unwrap();
    assert!(config(&stage.node, &other).await.unwrap().get("SHARED_URL").is_some());
    assert!(stage.services.ways().contains_key(&other.id));
    let again = attach_add_on(&stage.node, &view, &other, request, &me()).await;
    assert!(
        matches!(again, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::Unconfirmed(_))))),
        "{again:?}"
    );
    let view = app_add_ons(&stage.node, &app).await.unwrap().remove(0);
    let refused = destroy_add_on(&stage.node, &view, Others::KeepIt, &me()).await;
    assert!(
        matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::AddOnInUse { .. })))),
        "{refused:?}"
    );
    detach_add_on(&stage.node, &has, &me()).await.unwrap();
    assert!(config(&stage.node, &other).await.unwrap().get("SHARED_URL").is_none());
    assert!(!stage.services.ways().contains_key(&other.id));
    let told = descriptions(&stage, &other).await;
    let name = view.add_on.name;
    assert_eq!(told[..2], [format!("Detach SHARED (@ref:{name})"), format!("Attach SHARED (@ref:{name})")]);
    let last = &app_add_ons(&stage.node, &app).await.unwrap()[0].attachments[0];
    let refused = detach_add_on(&stage.node, last, &me()).await;
    assert!(
        matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::LastAttachment(_))))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_app_takes_its_add_ons_along() {
    let stage = Stage::open();
    let (app, other) = (stage.app().await, another(&stage).await);
    let view = made(&stage, &app).await;
    attach_add_on(&stage.node, &view, &other, AttachRequest::default(), &me()).await.unwrap();
    assert!(config(&stage.node, &other).await.unwrap().get("DATABASE_URL").is_some());
    destroy(&stage.node, &app).await.unwrap();
    assert!(config(&stage.node, &other).await.unwrap().get("DATABASE_URL").is_none());
    assert!(stage.services.kept().is_empty() && stage.services.ways().is_empty());
}

#[tokio::test]
async fn a_node_that_starts_again_goes_on_with_what_was_not_provisioned() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let change = AddOnChange { provisioned: Some(false), ..Default::default() };
    Store::open(&stage.dir.path().join("state.db"))
        .unwrap()
        .change_add_on(view.add_on.id, change)
        .await
        .unwrap();
    let later = Stage::reopen(Arc::clone(&stage.dir));
    resume(&later.node).await.unwrap();
    for _ in 0..500 {
        if app_add_ons(&later.node, &app).await.unwrap()[0].add_on.provisioned {
            assert!(later.services.kept().contains(&view.add_on.id));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not provisioned");
}

/// An app that is to lose an add-on which it shares: the first step of detaching is made, and nothing more.
async fn half_detached(stage: &Stage) -> App {
    let (app, other) = (stage.app().await, another(stage).await);
    let view = made(stage, &app).await;
    let request = AttachRequest { name: Some("shared".to_owned()), confirm: None };
    let has = attach_add_on(&stage.node, &view, &other, request, &me()).await.unwrap();
    stage.node.store().leave(has.attachment.id).await.unwrap();
    other
}

#[tokio::test]
async fn what_an_app_was_losing_when_the_node_ended_it_loses_at_the_next_start() {
    let stage = Stage::open();
    let other = half_detached(&stage).await;
    assert!(app_attachments(&stage.node, &other).await.unwrap().is_empty());
    assert!(config(&stage.node, &other).await.unwrap().get("SHARED_URL").is_some(), "it was cut off");
    settle(stage.node.clone()).await;
    assert!(config(&stage.node, &other).await.unwrap().get("SHARED_URL").is_none());
    assert!(stage.node.store().leaving_attachments().await.unwrap().is_empty());
    let told = descriptions(&stage, &other).await;
    settle(stage.node.clone()).await;
    assert_eq!(descriptions(&stage, &other).await, told, "there is nothing left to tell");
}

#[tokio::test]
async fn another_password_reaches_every_app_also_when_the_node_ends_in_between() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let before = config(&stage.node, &app).await.unwrap().get("DATABASE_URL").unwrap().to_owned();
    let rotated = rotate_password(&stage.node, &view, &me()).await.unwrap();
    assert_eq!(rotated.add_on.generation, view.add_on.generation + 1);
    let after = config(&stage.node, &app).await.unwrap().get("DATABASE_URL").unwrap().to_owned();
    assert_ne!(before, after);
    assert_eq!(descriptions(&stage, &app).await[0], "Update DATABASE by heroku-postgresql");
    let change = AddOnChange { password: Some("another".parse().unwrap()), ..AddOnChange::default() };
    stage.node.store().change_add_on(view.add_on.id, change).await.unwrap();
    settle(stage.node.clone()).await;
    let url = config(&stage.node, &app).await.unwrap().get("DATABASE_URL").unwrap().to_owned();
    assert!(url.contains(":another@"), "{url}");
}

#[tokio::test]
async fn an_add_on_takes_the_place_of_another_in_one_release() {
    let stage = Stage::open();
    let app = stage.app().await;
    let first = made(&stage, &app).await;
    let request = AddOnRequest { plan: "postgresql".to_owned(), ..AddOnRequest::default() };
    let second = create_add_on(&stage.node, &app, request, &me()).await.unwrap();
    for _ in 0..500 {
        if config(&stage.node, &app).await.unwrap().get("HEROKU_POSTGRESQL_AMBER_URL").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = app_add_ons(&stage.node, &app)
        .await
        .unwrap()
        .into_iter()
        .find(|view| view.add_on.id == second.add_on.id);
    let second = second.unwrap();
    let request = AttachRequest { name: Some("DATABASE".to_owned()), confirm: Some(app.name.to_string()) };
    let refused = attach_add_on(&stage.node, &second, &app, request.clone(), &me()).await;
    assert!(
        matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::LastAttachment(_))))),
        "nobody would find the first one again: {refused:?}"
    );
    attach_add_on(&stage.node, &first, &app, AttachRequest::default(), &me()).await.unwrap();
    let releases = descriptions(&stage, &app).await.len();
    attach_add_on(&stage.node, &second, &app, request, &me()).await.unwrap();
    let url = config(&stage.node, &app).await.unwrap().get("DATABASE_URL").unwrap().to_owned();
    assert!(url.contains(&second.add_on.host()), "{url}");
    assert_eq!(descriptions(&stage, &app).await.len(), releases + 1);
}

#[tokio::test]
async fn a_rollback_leaves_the_names_that_an_add_on_has_no_more() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    stage.builder.0.lock().unwrap().retain(|name| *name != "release");
    stage.push(&app).await;
    let as_named = |name: &str| AttachRequest { name: Some(name.to_owned()), confirm: None };
    let late = attach_add_on(&stage.node, &view, &app, as_named("late"), &me()).await.unwrap();
    // What a user has written down is the user's, whatever it says.
    let url = config(&stage.node, &app).await.unwrap().get("LATE_URL").unwrap().to_owned();
    change_config(&stage.node, &app, &[("BROKER_URL".to_owned(), Some(url.clone()))].into(), &me())
        .await
        .unwrap();
    let then = releases(&stage.node, &app).await.unwrap()[0].release.version;
    detach_add_on(&stage.node, &late, &me()).await.unwrap();
    let other = attach_add_on(&stage.node, &view, &app, as_named("other"), &me()).await.unwrap();
    rollback(&stage.node, &app, Some(ReleaseKey::Version(then)), &me()).await.unwrap();
    let now = config(&stage.node, &app).await.unwrap();
    assert_eq!(now.get("LATE_URL"), None);
    assert_eq!(now.get("BROKER_URL"), Some(url.as_str()));
    assert!(now.get("DATABASE_URL").is_some());
    assert!(now.get(&other.attachment.name.config_var()).is_some(), "what it has now");
}

#[tokio::test]
async fn what_is_brought_back_has_its_names_where_they_are_free() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let main = AttachRequest { name: Some("main".to_owned()), confirm: None };
    let first = app_attachments(&stage.node, &app).await.unwrap().remove(0);
    attach_add_on(&stage.node, &view, &app, main, &me()).await.unwrap();
    detach_add_on(&stage.node, &first, &me()).await.unwrap();
    let name = view.add_on.name.clone();
    let destroyed = async |view: &AddOnView| {
        while !stage.services.kept().contains(&view.add_on.id) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        destroy_add_on(&stage.node, view, Others::KeepIt, &me()).await.unwrap();
        removed_data(&stage.node).remove(0).id
    };
    let removed = destroyed(&app_add_ons(&stage.node, &app).await.unwrap().remove(0)).await;
    let back = bring_back_add_on(&stage.node, &app, (removed, None), &me()).await.unwrap();
    assert_eq!(back.add_on.name, name);
    assert_eq!(back.attachments[0].attachment.name.to_string(), "MAIN");
    let removed = destroyed(&back).await;
    let request = AddOnRequest {
        plan: "redis".to_owned(),
        name: Some(name.to_string()),
        attachment: Some("main".to_owned()),
        fork: None,
    };
    create_add_on(&stage.node, &app, request, &me()).await.unwrap();
    let back = bring_back_add_on(&stage.node, &app, (removed, None), &me()).await.unwrap();
    assert_ne!(back.add_on.name, name);
    assert_eq!(back.attachments[0].attachment.name.to_string(), "DATABASE", "as one that was never there");
}

#[tokio::test]
async fn a_larger_plan_needs_the_memory_and_a_smaller_one_is_always_taken() {
    let memory = Some(NodeMemory { total: Bytes::mib(1024), overcommit_percent: 100 });
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let stage = Stage::within(dir, Quotas { memory, ..Quotas::default() });
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let request = AddOnRequest { plan: "postgresql:essential-1".to_owned(), ..AddOnRequest::default() };
    create_add_on(&stage.node, &app, request, &me()).await.unwrap();
    let to = |plan: &str| AddOnUpdate { plan: Some(plan.to_owned()), name: None };
    let refused = change_add_on(&stage.node, &view, to("postgresql:essential-2")).await;
    let Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::AddOnMemory { wanted, promised, total }))) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((wanted, promised, total), (Bytes::mib(1024), Bytes::mib(512), Bytes::mib(1024)));
    // Its own present memory is given up for it.
    let larger = change_add_on(&stage.node, &view, to("postgresql:essential-1")).await.unwrap();
    assert_eq!(larger.plan.name, "essential-1");
    change_add_on(&stage.node, &larger, to("postgresql:essential-0")).await.unwrap();
}

/// The backups of an app once none goes on.
async fn ended(stage: &Stage, app: &App) -> Vec<Transfer> {
    for _ in 0..500 {
        let all = data_transfers(&stage.node, app).await.unwrap();
        if all.iter().all(|one| one.state != TransferState::Running) {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a backup does not end");
}

#[tokio::test]
async fn a_backup_is_taken_when_it_is_due_and_once() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let made = schedule_backups(&stage.node, &view, ("DATABASE_URL", 2, "UTC")).await.unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let looked_at_s = at("2026-11-26T12:00:00Z").as_second();
    stage.node.store().set_backup_schedule(BackupSchedule { looked_at_s, ..made }).await.unwrap();
    look(&stage.node, at("2026-11-27T01:59:00Z"), &mut BTreeSet::new()).await.unwrap();
    assert!(ended(&stage, &app).await.is_empty(), "it is not due yet");
    for now in ["2026-11-27T02:00:00Z", "2026-11-27T02:00:30Z", "2026-11-27T23:00:00Z"] {
        look(&stage.node, at(now), &mut BTreeSet::new()).await.unwrap();
    }
    let all = ended(&stage, &app).await;
    let names: Vec<_> = all.iter().map(|one| one.name().to_string()).collect();
    assert_eq!(names, ["a001"]);
    let file = stage.dir.path().join("backups").join(format!("{}.dump", all[0].id));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "Asked: backup\n");
}

#[tokio::test]
async fn a_schedule_that_was_ended_or_replaced_meanwhile_stays_so() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let read = schedule_backups(&stage.node, &view, ("DATABASE_URL", 2, "UTC")).await.unwrap();
    let now = schedule_backups(&stage.node, &view, ("DATABASE_URL", 5, "UTC")).await.unwrap();
    stage.node.store().note_backup_looked_at(read.id, 1).await.unwrap();
    assert_eq!(stage.node.store().backup_schedules().await.unwrap(), std::slice::from_ref(&now));
    stage.node.store().note_backup_looked_at(now.id, 1).await.unwrap();
    assert_eq!(stage.node.store().backup_schedules().await.unwrap()[0].looked_at_s, 1);
    unschedule_backups(&stage.node, &view).await.unwrap();
    stage.node.store().note_backup_looked_at(now.id, 2).await.unwrap();
    assert!(stage.node.store().backup_schedules().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_add_on_that_fails_keeps_no_other_from_its_backup() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let stage =
        Stage::within(dir, Quotas { backups: BackupsKept { count: 1, days: 30 }, ..Quotas::default() });
    let app = stage.app().await;
    let first = made(&stage, &app).await;
    let request = AddOnRequest { plan: "postgresql".to_owned(), ..AddOnRequest::default() };
    let second = create_add_on(&stage.node, &app, request, &me()).await.unwrap();
    // They are looked at by name.
    for (view, name) in [(&first, "a"), (&second, "b")] {
        let made = schedule_backups(&stage.node, view, (name, 2, "UTC")).await.unwrap();
        stage.node.store().note_backup_looked_at(made.id, 0).await.unwrap();
    }
    for _ in 0..2 {
        let cause = crate::domain::TransferCause::Asked;
        crate::flows::capture_backup(&stage.node, (&first, &app), cause).await.unwrap();
        ended(&stage, &app).await;
    }
    stage.services.break_down(first.add_on.id);
    look(&stage.node, Timestamp::now(), &mut BTreeSet::new()).await.unwrap();
    let all = ended(&stage, &app).await;
    let of = |view: &AddOnView| {
        let own = all.iter().filter(|one| one.add_on == view.add_on.id);
        own.map(|one| one.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!((of(&first), of(&second)), (vec!["b002".to_owned()], vec!["a003".to_owned()]));
}

#[tokio::test]
async fn backups_that_are_too_many_or_too_old_go_with_their_files() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let stage =
        Stage::within(dir, Quotas { backups: BackupsKept { count: 2, days: 30 }, ..Quotas::default() });
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    for _ in 0..3 {
        let cause = crate::domain::TransferCause::Asked;
        crate::flows::capture_backup(&stage.node, (&view, &app), cause).await.unwrap();
        ended(&stage, &app).await;
    }
    let files = || std::fs::read_dir(stage.dir.path().join("backups")).unwrap().count();
    let names = async || {
        let all = ended(&stage, &app).await;
        all.iter().map(|one| one.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(files(), 3);
    let now = Timestamp::now();
    look(&stage.node, now, &mut BTreeSet::new()).await.unwrap();
    assert_eq!((names().await, files()), (vec!["b003".to_owned(), "b002".to_owned()], 2));
    let later = Timestamp::from_second(now.as_second() + 31 * 86_400).unwrap();
    look(&stage.node, later, &mut BTreeSet::new()).await.unwrap();
    assert_eq!((names().await, files()), (vec!["b003".to_owned()], 1), "the newest stays however old it is");
}

#[tokio::test]
async fn the_newest_backup_of_each_add_on_is_tried_out_at_night_whatever_becomes_of_others() {
    let stage = Stage::open();
    let app = stage.app().await;
    let first = made(&stage, &app).await;
    let request = AddOnRequest { plan: "postgresql".to_owned(), ..AddOnRequest::default() };
    let second = create_add_on(&stage.node, &app, request, &me()).await.unwrap();
    for view in [&first, &first, &second] {
        let cause = crate::domain::TransferCause::Asked;
        crate::flows::capture_backup(&stage.node, (view, &app), cause).await.unwrap();
        ended(&stage, &app).await;
    }
    let broken = ended(&stage, &app).await.into_iter().find(|one| one.name().to_string() == "b002").unwrap();
    let file = stage.dir.path().join("backups").join(format!("{}.dump", broken.id));
    std::fs::write(file, "another").unwrap();
    verify_newest(&stage.node).await.unwrap();
    let all = ended(&stage, &app).await;
    let verified =
        |name: &str| all.iter().find(|one| one.name().to_string() == name).unwrap().verified.clone();
    assert!(verified("b001").is_none(), "it is not the newest");
    assert!(verified("b002").unwrap().fault.unwrap().contains("not what was written"));
    assert_eq!(verified("b003").unwrap().fault, None);
    let before = verified("b003").unwrap();
    verify_newest(&stage.node).await.unwrap();
    assert_eq!(verified("b003").unwrap(), before, "once");
}

#[tokio::test]
async fn a_backup_is_tried_once_at_a_time_and_stays_meanwhile() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    let cause = crate::domain::TransferCause::Asked;
    crate::flows::capture_backup(&stage.node, (&view, &app), cause).await.unwrap();
    let backup = ended(&stage, &app).await.remove(0);
    let place = begin_trial(&stage.node, &backup).unwrap();
    for refused in
        [verify_backup(&stage.node, &backup).await.map(drop), delete_transfer(&stage.node, &backup).await]
    {
        assert!(
            matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::TrialRunning(_))))),
            "{refused:?}"
        );
    }
    drop(place);
    assert_eq!(verify_backup(&stage.node, &backup).await.unwrap().verified.unwrap().fault, None);
    let (path, _) = backup_link(&stage.node, &backup).unwrap();
    let name = link_name(&format!("https://node{path}")).unwrap();
    assert!(linked_backup(&stage.node, name).await.unwrap().is_some());
    // A file that is gone is nobody's fault.
    std::fs::remove_file(stage.dir.path().join("backups").join(format!("{}.dump", backup.id))).unwrap();
    assert!(linked_backup(&stage.node, name).await.unwrap().is_none());
    delete_transfer(&stage.node, &backup).await.unwrap();
    assert!(linked_transfer(&stage.node, name).await.unwrap().is_none());
}

#[tokio::test]
async fn the_number_of_a_backup_never_comes_back() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    for name in ["b001", "b002", "b003"] {
        let cause = crate::domain::TransferCause::Asked;
        crate::flows::capture_backup(&stage.node, (&view, &app), cause).await.unwrap();
        let backup = ended(&stage, &app).await.remove(0);
        assert_eq!(backup.name().to_string(), name);
        delete_transfer(&stage.node, &backup).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_app_could_not_be_told_of_is_tried_again() {
    let stage = Stage::open();
    let other = half_detached(&stage).await;
    let node = stage.node.clone();
    let again = tokio::spawn(async move { see_off_again(&node, Duration::from_millis(10)).await });
    for _ in 0..500 {
        if stage.node.store().leaving_attachments().await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    again.abort();
    assert!(stage.node.store().leaving_attachments().await.unwrap().is_empty());
    assert!(config(&stage.node, &other).await.unwrap().get("SHARED_URL").is_none());
}

#[tokio::test]
async fn an_app_that_goes_takes_no_add_on_along_that_is_made_meanwhile() {
    let stage = Stage::open();
    let app = stage.app().await;
    let view = made(&stage, &app).await;
    // Of another app: it runs, and whoever looks has not seen its record yet.
    let late = AddOn { id: uuid::Uuid::new_v4(), ..view.add_on.clone() };
    crate::flows::ports::DataServices::keep(&*stage.services, late.clone()).await.unwrap();
    destroy(&stage.node, &app).await.unwrap();
    assert_eq!(stage.services.kept(), [late.id].into());
}

#[tokio::test]
async fn an_add_on_has_the_contents_of_another_before_its_app_knows_of_it() {
    let stage = Stage::open();
    let app = stage.app().await;
    let first = made(&stage, &app).await;
    let forked = |plan: &str| AddOnRequest {
        plan: plan.to_owned(),
        fork: Some(first.clone()),
        ..AddOnRequest::default()
    };
    let refused = create_add_on(&stage.node, &app, forked("redis"), &me()).await;
    assert!(
        matches!(refused, Err(FlowError::Refused(Refusal::AddOn(AddOnRefusal::CopyBetween { .. })))),
        "{refused:?}"
    );
    let made = create_add_on(&stage.node, &app, forked("postgresql"), &me()).await.unwrap();
    for _ in 0..500 {
        let all = data_transfers(&stage.node, &app).await.unwrap();
        let is_known = config(&stage.node, &app).await.unwrap().get("HEROKU_POSTGRESQL_AMBER_URL").is_some();
        let is_done = all.first().is_some_and(|one| one.state == TransferState::Succeeded);
        assert!(is_done || !is_known, "the app knows of what it is not given yet");
        if is_known {
            assert_eq!((all.len(), all[0].add_on), (1, made.add_on.id));
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it is not provisioned");
}
