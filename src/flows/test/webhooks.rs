//! Webhooks against a receiver on loopback.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::domain::{Delivery, DeliveryStatus, Entity, Reach};
use crate::flows::{
    WebhookRequest, add_webhook, deliver_webhooks, deliveries, remove_webhook, webhook_events,
};
use crate::logs::{Tls, Trust};

/// A receiver that answers each request with this status, and what it was sent: head and body.
async fn receiver(status: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            loop {
                let mut piece = [0; 4096];
                let count = stream.read(&mut piece).await.unwrap();
                bytes.extend_from_slice(&piece[..count]);
                let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let body = &bytes[at + 4..];
                if body.len() >= length.parse().unwrap() {
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    sender.send((String::from_utf8_lossy(&bytes[..at]).into_owned(), body.to_vec())).unwrap();
                    break;
                }
            }
        }
    });
    (address, received)
}

fn request(address: SocketAddr, level: &str) -> WebhookRequest {
    WebhookRequest {
        url: Some(format!("http://{address}/hooks?a=b")),
        include: Some(vec!["api:release".to_owned(), "formation".to_owned()]),
        level: Some(level.to_owned()),
        secret: Some("a secret".parse().unwrap()),
        authorization: Some("Bearer for-the-receiver".parse().unwrap()),
    }
}

fn begin(stage: &Stage, reach: Reach) -> tokio::task::JoinHandle<()> {
    let tls = Arc::new(Tls::new(Trust::Host));
    tokio::spawn(deliver_webhooks(stage.node.clone(), tls, reach))
}

/// The newest delivery, once it was tried.
async fn tried(stage: &Stage, app: &App) -> Delivery {
    for _ in 0..1000 {
        let newest = deliveries(&stage.node, app, None).await.unwrap().into_iter().next();
        if let Some(tried) = newest.filter(|newest| newest.attempts > 0) {
            return tried;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not tried");
}

#[tokio::test]
async fn a_receiver_is_sent_what_it_wants_signed() {
    let stage = Stage::open();
    let app = stage.app().await;
    let (address, mut received) = receiver("204 No Content").await;
    add_webhook(&stage.node, &app, request(address, "notify")).await.unwrap();
    begin(&stage, Reach::Any);
    stage.set(&app, "FOO").await.unwrap();
    let (head, body) = received.recv().await.unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /hooks?a=b http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer for-the-receiver"), "{head}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret");
    let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, &body)).to_lowercase();
    assert!(head.contains(&format!("heroku-webhook-hmac-sha256: {signature}")), "{head}");
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&told["action"], &told["resource"]), (&"create".into(), &"release".into()), "{told}");
    assert_eq!(told["actor"]["email"], "me@example.com");
    let delivered = tried(&stage, &app).await;
    assert_eq!((delivered.status, delivered.attempts), (DeliveryStatus::Succeeded, 1));
    assert_eq!(told["webhook_metadata"]["delivery"]["id"], delivered.id.to_string());
    assert_eq!(told["webhook_metadata"]["event"]["include"], "api:release");
    assert_eq!(delivered.next_attempt_at_s, None);
    let events = webhook_events(&stage.node, &app).await.unwrap();
    assert_eq!(events.iter().map(|event| event.entity).collect::<Vec<_>>(), [Entity::Release]);
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_or_given_up_as_the_level_says() {
    for (level, status) in [("notify", DeliveryStatus::Failed), ("sync", DeliveryStatus::Retrying)] {
        let stage = Stage::open();
        let app = stage.app().await;
        let (address, mut received) = receiver("500 Internal Server Error").await;
        let hook = add_webhook(&stage.node, &app, request(address, level)).await.unwrap();
        let sender = begin(&stage, Reach::Any);
        stage.set(&app, "FOO").await.unwrap();
        received.recv().await.unwrap();
        let delivered = tried(&stage, &app).await;
        assert_eq!((delivered.status, delivered.next_attempt_at_s.is_some()), (status, level == "sync"));
        assert_eq!(delivered.last_attempt.unwrap().code, Some(500));
        sender.abort();
        remove_webhook(&stage.node, &app, &hook.id.to_string()).await.unwrap();
        assert!(deliveries(&stage.node, &app, None).await.unwrap().is_empty(), "they go with their webhook");
    }
}

#[tokio::test]
async fn addresses_of_the_node_are_not_connected_to_unless_they_may_be() {
    let stage = Stage::open();
    let app = stage.app().await;
    let (address, mut received) = receiver("200 OK").await;
    add_webhook(&stage.node, &app, request(address, "notify")).await.unwrap();
    begin(&stage, Reach::Public);
    stage.set(&app, "FOO").await.unwrap();
    let delivered = tried(&stage, &app).await;
    assert_eq!(delivered.status, DeliveryStatus::Failed);
    assert_eq!(delivered.last_attempt.unwrap().error.as_deref(), Some("AddressNotAllowed"));
    assert!(received.try_recv().is_err(), "nobody has come");
}

#[tokio::test]
async fn no_more_wait_than_may_and_what_waits_outlives_the_process() {
    let stage = Stage::open();
    let app = stage.app().await;
    let (address, mut received) = receiver("200 OK").await;
    add_webhook(&stage.node, &app, request(address, "sync")).await.unwrap();
    for number in 0..=crate::domain::Webhook::WAITING_MAX {
        stage.set(&app, &format!("V{number}")).await.unwrap();
    }
    let all = deliveries(&stage.node, &app, None).await.unwrap();
    assert_eq!(all[0].status, DeliveryStatus::Failed, "the last has no room");
    assert_eq!(all[0].last_attempt.as_ref().unwrap().error.as_deref(), Some("QueueFull"));
    assert!(all[1..].iter().all(|delivery| delivery.status == DeliveryStatus::Pending));
    let stage = Stage::reopen(stage.dir);
    begin(&stage, Reach::Any);
    let mut told = Vec::new();
    while told.len() < crate::domain::Webhook::WAITING_MAX {
        let (_, body) = received.recv().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        told.push(body["id"].as_str().unwrap().to_owned());
    }
    let oldest_first: Vec<_> = all[1..].iter().rev().map(|delivery| delivery.event.to_string()).collect();
    assert_eq!(told, oldest_first);
}

#[tokio::test]
async fn receivers_of_one_app_that_take_nothing_hold_up_no_other_apps() {
    let stage = Stage::open();
    let app = stage.app().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..10 {
        add_webhook(&stage.node, &app, request(silent.local_addr().unwrap(), "sync")).await.unwrap();
    }
    stage.set(&app, "FOO").await.unwrap();
    begin(&stage, Reach::Any);
    let _held = silent.accept().await.unwrap();
    let named = NewAppRequest { name: Some("other".to_owned()), stack: None, owner: None };
    let other = create(&stage.node, named, &me()).await.unwrap().app;
    let (address, mut received) = receiver("204 No Content").await;
    add_webhook(&stage.node, &other, request(address, "notify")).await.unwrap();
    stage.set(&other, "FOO").await.unwrap();
    let patience = Duration::from_secs(10);
    assert!(tokio::time::timeout(patience, received.recv()).await.is_ok(), "shorter than one silent attempt");
}
