//! Whose an attachment is: who has it may take it away, and who has the add-on, whatever has become of their sharing.

use super::access::{TOKEN, Tcp};
use super::*;
use crate::flows;

#[tokio::test]
async fn an_attachment_ends_by_the_word_of_either_side_and_of_nobody_else() {
    let tcp = Tcp::open().await;
    let as_user = async |email: &str| format!("Bearer {}", tcp.user(email, &["global"]).await);
    let (owner, friend, stranger) = (
        as_user("owner@example.com").await,
        as_user("friend@example.com").await,
        as_user("stranger@example.com").await,
    );
    assert_eq!(tcp.call("POST", "/apps", &owner, r#"{"name":"books"}"#).await.0, 201);
    assert_eq!(tcp.call("POST", "/apps", &friend, r#"{"name":"reports"}"#).await.0, 201);
    let body = r#"{"plan":"heroku-postgresql","name":"ledger"}"#;
    assert_eq!(tcp.call("POST", "/apps/books/addons", &owner, body).await.0, 201);
    while tcp.call("GET", "/addons/ledger", &owner, "").await.1["state"] != "provisioned" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (name, who) in [("ONE", &owner), ("OTHER", &friend)] {
        let shared = r#"{"user":"friend@example.com"}"#;
        assert_eq!(tcp.call("POST", "/apps/books/collaborators", &owner, shared).await.0, 201);
        let body = format!(r#"{{"addon":"ledger","app":"reports","name":"{name}"}}"#);
        let (status, made) = tcp.call("POST", "/addon-attachments", &friend, &body).await;
        assert_eq!(status, 201, "{made}");
        let path = format!("/addon-attachments/{}", made["id"].as_str().unwrap());
        // The share ends, the attachment does not by itself; the owner sees it.
        assert_eq!(
            tcp.call("DELETE", "/apps/books/collaborators/friend@example.com", &owner, "").await.0,
            200
        );
        assert_eq!(tcp.call("GET", "/apps/reports", &owner, "").await.0, 403, "another's app");
        let found = format!(r#"{{"addon_attachment":"{name}","app":"reports"}}"#);
        let resolve = "/actions/addon-attachments/resolve";
        let (status, seen) = tcp.call("POST", resolve, &owner, &found).await;
        assert_eq!((status, &seen[0]["id"]), (200, &made["id"]), "{seen}");
        assert_eq!(tcp.call("POST", resolve, &stranger, &found).await.0, 403);
        let absent = r#"{"addon_attachment":"NONE","app":"reports"}"#;
        assert_eq!(
            tcp.call("POST", resolve, &owner, absent).await.0,
            403,
            "nothing else of that app is told"
        );
        assert_eq!(tcp.call("DELETE", &path, &stranger, "").await.0, 404);
        assert_eq!(tcp.call("DELETE", &path, who, "").await.0, 200);
    }
    let app = flows::find(&tcp.stage.node, "reports").await.unwrap();
    assert!(flows::app_attachments(&tcp.stage.node, &app).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_follower_is_refused() {
    let tcp = Tcp::open().await;
    let token = format!("Bearer {TOKEN}");
    let body = r#"{"plan":"heroku-postgresql","config":{"follow":"DATABASE"}}"#;
    let (status, refused) = tcp.call("POST", "/apps/example/addons", &token, body).await;
    assert_eq!((status, &refused["id"]), (422, &json!("invalid_params")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("follow"), "{refused}");
    let (_, all) = tcp.call("GET", "/apps/example/addons", &token, "").await;
    assert_eq!(all, json!([]));
}
