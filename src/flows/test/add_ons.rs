//! Add-ons over services that answer at once.

use super::*;
use crate::flows::{
    AddOnRequest, AddOnView, AttachRequest, Others, add_on_services, app_add_ons, attach_add_on,
    create_add_on, destroy, destroy_add_on, detach_add_on,
};
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
    let change = crate::store::AddOnChange { provisioned: Some(false), ..Default::default() };
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
