//! Orders against a real file: which are wanted, and what goes with what.

use super::*;
use crate::domain::{
    CustomDomain, FaultKind, HostPattern, OrderFault, OrderProgress, PlacedOrder, SecretKey,
};
use crate::store::{NewApp, StoreError};

async fn stage(dir: &tempfile::TempDir) -> (Store, App) {
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    let new = NewApp {
        name: "example".parse().unwrap(),
        owner: None,
        build_stack: crate::domain::StackName::default(),
        user: "me".to_owned(),
        first_releases: vec!["Initial release".to_owned()],
    };
    let app = store.create_app(new).await.unwrap();
    (store, app)
}

fn name(text: &str) -> HostPattern {
    text.parse().unwrap()
}

fn certificate(text: &str) -> Certificate {
    Certificate { chain: vec![text.into()], key: SecretKey::new(text.as_bytes()) }
}

/// What a certificate comes to that an order has led to.
async fn issue(store: &Store, domain: &CustomDomain, text: &str) -> Result<Issued, StoreError> {
    let order = store.certificate_order(domain.id).await.unwrap().unwrap();
    let issued = OrderEvent::Issued { starts_at_s: now_s(), expires_at_s: now_s() + 90 * 24 * 3600 };
    let (order, certificate) = (order.after(issued, now_s()), certificate(text));
    let issued = IssuedCertificate { order, certificate, standing: Standing::Unknown, name: text.to_owned() };
    store.issue_certificate(issued).await
}

async fn progress(store: &Store, app: &App) -> Vec<(String, Option<OrderProgress>)> {
    let all = store.domains(app.id).await.unwrap();
    let shown = |domain: CustomDomain| {
        (domain.hostname.to_string(), domain.order.as_ref().map(CertificateOrder::progress))
    };
    all.into_iter().map(shown).collect()
}

#[tokio::test]
async fn there_is_an_order_for_each_domain_that_has_no_certificate_of_a_users() {
    let dir = tempfile::tempdir().unwrap();
    let (store, app) = stage(&dir).await;
    let brought = (certificate("brought"), Standing::Unknown);
    let brought = store.add_sni_endpoint(app.id, "brought".to_owned(), brought).await.unwrap();
    let of = crate::domain::EndpointRef { id: brought.id, name: brought.name.clone() };
    let first = store.add_domain(app.id, name("a.example"), None).await.unwrap();
    let second = store.add_domain(app.id, name("b.example"), Some(of)).await.unwrap();
    assert!(store.due_certificate_orders(now_s()).await.unwrap().is_empty());
    assert_eq!(store.set_acm(app.id, Switch::On).await.unwrap().acm, Switch::On);
    let pending = Some(OrderProgress::Pending);
    let expected = [("a.example".to_owned(), pending), ("b.example".to_owned(), None)];
    assert_eq!(progress(&store, &app).await, expected);
    let third = store.add_domain(app.id, name("c.example"), None).await.unwrap();
    assert_eq!(third.order.as_ref().map(CertificateOrder::progress), pending, "a later one has one, too");
    let due = store.due_certificate_orders(now_s()).await.unwrap();
    assert_eq!(due.len(), 2);

    // A certificate that is taken away, or brought, makes a domain's order come and go.
    store.remove_sni_endpoint(app.id, brought.id).await.unwrap();
    assert_eq!(store.certificate_order(second.id).await.unwrap().unwrap().hostname, name("b.example"));
    assert!(matches!(issue(&store, &first, "got").await.unwrap(), Issued::Added(_)));
    let other = (certificate("other"), Standing::Unknown);
    let other = store.add_sni_endpoint(app.id, "other".to_owned(), other).await.unwrap();
    store.secure_domain((app.id, first.id), Some(other.id)).await.unwrap();
    assert_eq!(store.certificate_order(first.id).await.unwrap(), None);
    let names = |all: Vec<SniEndpoint>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(store.sni_endpoints(app.id).await.unwrap()), ["other"], "what was got went");
    store.secure_domain((app.id, first.id), None).await.unwrap();
    let again = store.certificate_order(first.id).await.unwrap().unwrap();
    assert_eq!((again.progress(), again.expires_at_s), (OrderProgress::Pending, None));
    store.remove_domain(app.id, first.id).await.unwrap();
    assert_eq!(store.certificate_order(first.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_order_and_its_key_are_kept_and_a_renewal_takes_the_place_of_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let (store, app) = stage(&dir).await;
    store.set_acm(app.id, Switch::On).await.unwrap();
    let domain = store.add_domain(app.id, name("a.example"), None).await.unwrap();
    let order = store.certificate_order(domain.id).await.unwrap().unwrap();
    let placed = PlacedOrder { url: "https://a.example/1".to_owned(), key: SecretKey::new(*b"key") };
    let placed = order.after(OrderEvent::Placed(placed), now_s());
    assert!(store.keep_certificate_order(placed.clone(), Started::Anew).await.unwrap());
    let again = Store::open(&dir.path().join("state.db")).unwrap();
    assert_eq!(again.certificate_order(domain.id).await.unwrap(), Some(placed.clone()));
    assert_eq!(again.certificate_order_starts().await.unwrap()[&app.id], 1);
    let fault = OrderFault::new(FaultKind::Caa, "a record forbids it");
    let failed = placed.after(OrderEvent::Failed(fault), now_s());
    assert!(store.keep_certificate_order(failed.clone(), Started::Before).await.unwrap());
    assert_eq!(store.certificate_order(domain.id).await.unwrap(), Some(failed.clone()));
    assert!(store.due_certificate_orders(now_s()).await.unwrap().is_empty(), "it waits");
    assert_eq!(store.next_certificate_order_s(now_s()).await.unwrap(), Some(failed.due_at_s));
    store.refresh_certificate_orders(app.id).await.unwrap();
    assert_eq!(store.due_certificate_orders(now_s()).await.unwrap().len(), 1, "somebody asked");
    assert_eq!(store.certificate_order_starts().await.unwrap()[&app.id], 1);

    let Issued::Added(id) = issue(&store, &domain, "one").await.unwrap() else { panic!("its first") };
    assert_eq!(progress(&store, &app).await[0].1, Some(OrderProgress::InForce));
    assert_eq!(issue(&store, &domain, "two").await.unwrap(), Issued::Renewed(id));
    let shown = store.sni_endpoints(app.id).await.unwrap();
    assert_eq!(
        (shown.len(), &shown[0].name, &shown[0].certificate.chain[0]),
        (1, &"one".to_owned(), &b"two".to_vec())
    );
    assert_eq!(shown[0].source, crate::domain::CertificateSource::Node);
    store.set_acm(app.id, Switch::Off).await.unwrap();
    assert!(store.sni_endpoints(app.id).await.unwrap().is_empty());
    assert!(
        !store.keep_certificate_order(failed, Started::Before).await.unwrap(),
        "nobody wants it any more"
    );
}

#[tokio::test]
async fn an_account_is_kept_for_each_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = stage(&dir).await;
    let directory = || "https://a.example/".to_owned();
    let account = AcmeAccount { contact: None, credentials: "secret".to_owned() };
    store.keep_acme_account(directory(), Some(account.clone())).await.unwrap();
    assert!(store.acme_account(directory()).await.unwrap() == Some(account));
    assert!(store.acme_account("https://b.example/".to_owned()).await.unwrap().is_none());
    store.keep_acme_account(directory(), None).await.unwrap();
    assert!(store.acme_account(directory()).await.unwrap().is_none());
}
