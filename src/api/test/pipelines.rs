//! Pipelines and promotions: what each may see and do, and what is refused to whom.

use super::access::{TOKEN, Tcp};
use super::*;
use crate::domain::AppRight;
use crate::flows;

/// The node's administrator, and two users with apps of their own.
struct Cast {
    tcp: Tcp,
    root: String,
    one: String,
    two: String,
}

impl Cast {
    async fn open() -> Self {
        let tcp = Tcp::open().await;
        let one = format!("Bearer {}", tcp.user("one@example.com", &["global"]).await);
        let two = format!("Bearer {}", tcp.user("two@example.com", &["global"]).await);
        Self { tcp, root: format!("Bearer {TOKEN}"), one, two }
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.tcp.call(method, path, who, &body).await
    }

    async fn done(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(who, method, path, body).await;
        assert!(matches!(status, 200 | 201), "{method} {path}: {status} {answer}");
        answer
    }

    async fn app(&self, who: &str, name: &str) -> Value {
        self.done(who, "POST", "/apps", json!({ "name": name })).await["id"].clone()
    }

    async fn pipeline(&self, who: &str, name: &str) -> Value {
        self.done(who, "POST", "/pipelines", json!({ "name": name })).await["id"].clone()
    }

    async fn couple(&self, who: &str, app: &str, pipeline: &str, stage: &str) -> (u16, Value) {
        let body = json!({ "app": app, "pipeline": pipeline, "stage": stage });
        self.ask(who, "POST", "/pipeline-couplings", body).await
    }

    async fn share(&self, app: &str, with: &str, right: AppRight) {
        let app = flows::find(&self.tcp.stage.node, app).await.unwrap();
        let permissions = [right.as_str().to_owned()];
        flows::add_collaborator(&self.tcp.stage.node, &app, with, &permissions).await.unwrap();
    }

    /// Promotes what `example` runs, and tells the answer and the targets.
    async fn promote(&self, who: &str, pipeline: &Value, targets: &[&Value]) -> (u16, Value) {
        let source = flows::find(&self.tcp.stage.node, "example").await.unwrap().id.0;
        let targets: Vec<_> = targets.iter().map(|id| json!({ "app": { "id": id } })).collect();
        let body = json!({ "pipeline": { "id": pipeline }, "source": { "app": { "id": source } }, "targets": targets });
        let (status, answer) = self.ask(who, "POST", "/pipeline-promotions", body).await;
        if status != 201 {
            return (status, answer);
        }
        assert_eq!(answer["status"], "completed");
        let path = format!("/pipeline-promotions/{}", answer["id"].as_str().unwrap());
        assert_eq!(self.done(who, "GET", &path, Value::Null).await, answer);
        (status, self.done(who, "GET", &format!("{path}/promotion-targets"), Value::Null).await)
    }
}

#[tokio::test]
async fn a_pipeline_is_there_for_those_who_have_part_in_it() {
    let cast = Cast::open().await;
    let mine = cast.pipeline(&cast.one, "shop").await;
    let path = format!("/pipelines/{}", mine.as_str().unwrap());
    cast.app(&cast.one, "shop-staging").await;
    let hidden = cast.app(&cast.one, "shop-secret").await;
    for app in ["shop-staging", "shop-secret"] {
        assert_eq!(cast.couple(&cast.one, app, "shop", "staging").await.0, 201);
    }
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", "/pipelines/shop".to_owned()),
        ("GET", format!("{path}/pipeline-couplings")),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
    ] {
        let (status, told) = cast.ask(&cast.two, method, &path, json!({ "name": "mine" })).await;
        assert_eq!((status, &told["resource"]), (404, &json!("pipeline")), "{method} {path}");
    }
    for path in ["/pipelines", "/pipelines?eq[name]=shop", "/pipeline-couplings"] {
        assert_eq!(cast.ask(&cast.two, "GET", path, Value::Null).await, (200, json!([])), "{path}");
    }
    let (status, told) = cast.ask(&cast.two, "POST", "/pipelines", json!({ "name": "shop" })).await;
    assert_eq!(status, 422, "{told}");

    cast.share("shop-staging", "two@example.com", AppRight::View).await;
    let seen = cast.done(&cast.two, "GET", "/pipelines?eq%5Bname%5D=shop", Value::Null).await;
    assert_eq!((&seen[0]["id"], &seen[0]["owner"]["type"]), (&mine, &json!("user")));
    let apps = cast.done(&cast.two, "GET", &format!("{path}/pipeline-couplings"), Value::Null).await;
    assert_eq!(apps.as_array().unwrap().len(), 1, "the other app stays unseen: {apps}");
    let found = cast.done(&cast.two, "POST", "/filters/apps", json!({ "in": { "id": [hidden] } })).await;
    assert_eq!(found, json!([]));
    let all = cast.done(&cast.root, "GET", &format!("{path}/pipeline-couplings"), Value::Null).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    for (method, body) in [("PATCH", json!({ "name": "mine" })), ("DELETE", Value::Null)] {
        assert_eq!(cast.ask(&cast.two, method, &path, body).await.0, 403, "{method}");
    }
    let recipient = cast.done(&cast.one, "GET", "/users/two@example.com", Value::Null).await;
    let given = json!({ "pipeline": { "id": mine }, "new_owner": { "id": recipient["id"], "type": "user" } });
    assert_eq!(cast.ask(&cast.two, "POST", "/pipeline-transfers", given.clone()).await.0, 403, "no taking");
    cast.app(&cast.root, "of-root").await;
    assert_eq!(cast.couple(&cast.root, "of-root", "shop", "production").await.0, 201);
    cast.done(&cast.one, "POST", "/pipeline-transfers", given).await;
    for (app, owner) in [("shop-secret", "two@example.com"), ("of-root", "me@example.com")] {
        let shown = cast.done(&cast.root, "GET", &format!("/apps/{app}"), Value::Null).await;
        assert_eq!(shown["owner"]["email"], owner, "{app}");
    }
    let back = cast.done(&cast.two, "GET", "/users/one@example.com", Value::Null).await;
    let back = json!({ "pipeline": { "id": mine }, "new_owner": { "id": back["id"], "type": "user" } });
    cast.done(&cast.two, "POST", "/pipeline-transfers", back).await;
    cast.done(&cast.one, "PATCH", &path, json!({ "name": "store" })).await;
    cast.done(&cast.root, "DELETE", "/pipelines/store", Value::Null).await;
    let (status, told) =
        cast.ask(&cast.one, "GET", "/apps/shop-staging/pipeline-couplings", Value::Null).await;
    assert_eq!((status, &told["resource"]), (404, &json!("pipeline_coupling")), "the app stays");
}

#[tokio::test]
async fn places_are_given_and_taken_by_those_who_operate_the_app() {
    let cast = Cast::open().await;
    cast.pipeline(&cast.one, "shop").await;
    cast.app(&cast.one, "shop-staging").await;
    cast.app(&cast.two, "others").await;
    assert_eq!(cast.couple(&cast.two, "shop-staging", "shop", "staging").await.0, 403);
    assert_eq!(cast.couple(&cast.two, "others", "shop", "staging").await.0, 404, "it is not there for them");
    let (status, place) = cast.couple(&cast.one, "shop-staging", "shop", "staging").await;
    assert_eq!((status, &place["pipeline"]["name"]), (201, &json!("shop")));
    assert_eq!(cast.couple(&cast.one, "shop-staging", "shop", "production").await.0, 422, "one place an app");
    assert_eq!(cast.couple(&cast.one, "shop-staging", "shop", "prod").await.0, 422, "no stage");
    let path = format!("/pipeline-couplings/{}", place["id"].as_str().unwrap());
    let moved = json!({ "stage": "production" });
    for method in ["GET", "PATCH", "DELETE"] {
        let (status, _) = cast.ask(&cast.two, method, &path, moved.clone()).await;
        assert_eq!(status, 404, "{method}");
    }
    cast.share("shop-staging", "two@example.com", AppRight::View).await;
    let (status, told) = cast.couple(&cast.two, "others", "shop", "staging").await;
    assert_eq!(status, 403, "who may look may not fill: {told}");
    for method in ["PATCH", "DELETE"] {
        assert_eq!(cast.ask(&cast.two, method, &path, moved.clone()).await.0, 403, "{method}");
    }
    let shown = cast.done(&cast.one, "PATCH", &path, moved).await;
    assert_eq!(shown["stage"], "production");
    assert_eq!(
        cast.done(&cast.two, "GET", "/apps/shop-staging/pipeline-couplings", Value::Null).await["stage"],
        "production"
    );
    cast.done(&cast.one, "DELETE", &path, Value::Null).await;
    assert_eq!(cast.ask(&cast.one, "GET", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_promotion_takes_the_slug_and_leaves_the_config() {
    let cast = Cast::open().await;
    let root = cast.root.as_str();
    let pipeline = cast.pipeline(root, "shop").await;
    assert_eq!(cast.couple(root, "example", "shop", "staging").await.0, 201);
    let prod = cast.app(root, "shop-prod").await;
    assert_eq!(cast.couple(root, "shop-prod", "shop", "production").await.0, 201);
    cast.done(root, "PATCH", "/apps/example/config-vars", json!({ "WHERE": "staging" })).await;
    cast.done(root, "PATCH", "/apps/shop-prod/config-vars", json!({ "WHERE": "production" })).await;
    let (status, targets) = cast.promote(root, &pipeline, &[&prod, &prod]).await;
    assert_eq!(status, 201, "{targets}");
    assert_eq!(targets.as_array().unwrap().len(), 1, "each target once: {targets}");
    assert_eq!((&targets[0]["status"], &targets[0]["error_message"]), (&json!("succeeded"), &Value::Null));
    let path = format!("/apps/shop-prod/releases/{}", targets[0]["release"]["id"].as_str().unwrap());
    let release = cast.done(root, "GET", &path, Value::Null).await;
    let (ours, theirs) = (release["slug"].clone(), "/apps/example/releases");
    let all = cast.done(root, "GET", theirs, Value::Null).await;
    let source = all.as_array().unwrap().last().unwrap();
    assert_eq!((&ours, &release["current"]), (&source["slug"], &json!(true)));
    let told = release["description"].as_str().unwrap().to_owned();
    assert!(told.starts_with(&format!("Promote example v{} ", source["version"])), "{told}");
    let config = cast.done(root, "GET", "/apps/shop-prod/config-vars", Value::Null).await;
    assert_eq!(config, json!({ "WHERE": "production" }));
    let slug = format!("/apps/shop-prod/slugs/{}", ours["id"].as_str().unwrap());
    let slug = cast.done(root, "GET", &slug, Value::Null).await;
    assert!(told.ends_with(&slug["commit"].as_str().unwrap()[..8]), "{told} {slug}");
    let (_, again) = cast.promote(root, &pipeline, &[&prod]).await;
    assert_eq!(again[0]["status"], "failed");
    assert!(again[0]["error_message"].as_str().unwrap().contains("runs this slug already"), "{again}");
}

#[tokio::test]
async fn one_bad_target_stops_no_other_and_each_right_is_asked_for() {
    let cast = Cast::open().await;
    let root = cast.root.as_str();
    let pipeline = cast.pipeline(root, "shop").await;
    cast.couple(root, "example", "shop", "staging").await;
    let example = flows::find(&cast.tcp.stage.node, "example").await.unwrap();
    let example = json!(example.id.0);
    let (first, second) = (cast.app(root, "first").await, cast.app(root, "second").await);
    let outside = cast.app(root, "outside").await;
    for app in ["first", "second"] {
        cast.couple(root, app, "shop", "production").await;
    }
    for (who, targets, wanted) in
        [(&cast.one, vec![&first], 404), (&cast.root, vec![], 422), (&cast.root, vec![&outside], 422)]
    {
        let (status, told) = cast.promote(who, &pipeline, &targets).await;
        assert_eq!(status, wanted, "{told}");
    }
    cast.share("example", "one@example.com", AppRight::View).await;
    cast.share("first", "one@example.com", AppRight::Deploy).await;
    cast.share("second", "one@example.com", AppRight::View).await;
    let (status, told) = cast.promote(&cast.one, &pipeline, &[&first]).await;
    assert_eq!(status, 403, "the source takes the right to deploy too: {told}");
    cast.share_more("example").await;
    let (status, told) = cast.promote(&cast.one, &pipeline, &[&example, &second, &first]).await;
    assert_eq!(status, 201, "{told}");
    let fared: Vec<_> = told.as_array().unwrap().iter().map(|target| target["status"].clone()).collect();
    assert_eq!(fared, [json!("failed"), json!("failed"), json!("succeeded")], "{told}");
    assert!(told[0]["error_message"].as_str().unwrap().contains("to itself"), "{told}");
    assert!(told[1]["error_message"].as_str().unwrap().contains("permission deploy"), "{told}");
    let id = told[0]["pipeline_promotion"]["id"].as_str().unwrap().to_owned();
    let path = format!("/pipeline-promotions/{id}");
    assert_eq!(cast.ask(&cast.two, "GET", &path, Value::Null).await.0, 404);
    cast.tcp.stage.forgets.permits.add_permits(1);
    cast.done(root, "DELETE", "/apps/second", Value::Null).await;
    let left = cast.done(root, "GET", &format!("{path}/promotion-targets"), Value::Null).await;
    assert_eq!(left.as_array().unwrap().len(), 2, "what is destroyed is no target: {left}");
}

impl Cast {
    /// Raises what the first user may do with the app.
    async fn share_more(&self, app: &str) {
        let app = flows::find(&self.tcp.stage.node, app).await.unwrap();
        let deploy = [AppRight::Deploy.as_str().to_owned()];
        flows::change_collaborator(&self.tcp.stage.node, &app, "one@example.com", &deploy).await.unwrap();
    }
}

#[tokio::test]
async fn tests_and_their_config_vars_are_for_those_who_have_part_in_the_pipeline() {
    let cast = Cast::open().await;
    cast.pipeline(&cast.one, "shop").await;
    cast.app(&cast.one, "shop-staging").await;
    assert_eq!(cast.couple(&cast.one, "shop-staging", "shop", "staging").await.0, 201);
    let config = "/pipelines/shop/stage/test/config-vars";
    let set = cast.done(&cast.one, "PATCH", config, json!({ "KEY": "secret", "OTHER": "1" })).await;
    assert_eq!(set, json!({ "KEY": "secret", "OTHER": "1" }));
    assert_eq!(
        cast.done(&cast.one, "PATCH", config, json!({ "OTHER": null })).await,
        json!({ "KEY": "secret" })
    );
    let begin = json!({
        "commit_branch": "main", "commit_message": "", "commit_sha": "", "pipeline": "shop",
        "source_blob_url": "http://127.0.0.1:9/source.tgz",
    });
    for right in [None, Some(AppRight::View), Some(AppRight::Deploy), Some(AppRight::Operate)] {
        if let Some(right) = right {
            let app = flows::find(&cast.tcp.stage.node, "shop-staging").await.unwrap();
            // Whoever is there already is removed first.
            let _was_not_there =
                flows::remove_collaborator(&cast.tcp.stage.node, &app, "two@example.com").await;
            cast.share("shop-staging", "two@example.com", right).await;
        }
        let sees = if right.is_some() { 200 } else { 404 };
        let may = |least: AppRight, done: u16| match right {
            None => 404,
            Some(right) if right >= least => done,
            Some(_) => 403,
        };
        for (method, path, body, expected) in [
            ("GET", "/pipelines/shop/test-runs", Value::Null, sees),
            ("GET", config, Value::Null, may(AppRight::Operate, 200)),
            ("PATCH", config, json!({ "KEY": "secret" }), may(AppRight::Operate, 200)),
            ("POST", "/test-runs", begin.clone(), may(AppRight::Deploy, 201)),
        ] {
            let (status, told) = cast.ask(&cast.two, method, path, body).await;
            assert_eq!(status, expected, "{method} {path} with {right:?}: {told}");
            assert!(expected == 200 || !told.to_string().contains("secret"), "{told}");
        }
    }
    let reader = format!("Bearer {}", cast.tcp.user("one@example.com", &["read"]).await);
    let (status, told) = cast.ask(&reader, "GET", config, Value::Null).await;
    assert_eq!((status, &told["id"]), (403, &json!("forbidden")), "a token that sees no config vars: {told}");
    assert_eq!(cast.ask(&reader, "GET", "/pipelines/shop/test-runs", Value::Null).await.0, 200);
    for (path, status) in [
        ("/pipelines/shop/stage/production/config-vars", 422),
        ("/pipelines/shop/stage/prod/config-vars", 422),
        ("/pipelines/shop/test-runs/99", 404),
        ("/pipelines/shop/test-runs/x", 404),
        ("/test-runs/x", 404),
        ("/test-outputs/x/setup", 404),
    ] {
        assert_eq!(cast.ask(&cast.one, "GET", path, Value::Null).await.0, status, "{path}");
    }
    let runs = cast.done(&cast.one, "GET", "/pipelines/shop/test-runs", Value::Null).await;
    let id = runs[0]["id"].as_str().unwrap();
    cast.app(&cast.two, "other").await;
    let app = flows::find(&cast.tcp.stage.node, "shop-staging").await.unwrap();
    flows::remove_collaborator(&cast.tcp.stage.node, &app, "two@example.com").await.unwrap();
    for (method, path) in [
        ("GET", format!("/test-runs/{id}")),
        ("GET", format!("/test-runs/{id}/test-nodes")),
        ("PATCH", format!("/test-runs/{id}")),
    ] {
        let (status, told) = cast.ask(&cast.two, method, &path, json!({ "status": "cancelled" })).await;
        assert_eq!((status, &told["resource"]), (404, &json!("test_run")), "{method} {path}");
    }
}
