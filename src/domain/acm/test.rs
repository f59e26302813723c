//! The rules of orders for certificates, for any history.

use proptest::prelude::*;

use super::*;

const NOW_S: i64 = 1_795_000_000;
const DAY_S: i64 = 24 * 3600;

fn app(number: u128) -> AppId {
    AppId(Uuid::from_u128(number))
}

fn order(domain: u128, app_number: u128) -> CertificateOrder {
    CertificateOrder {
        domain: Uuid::from_u128(domain),
        app: app(app_number),
        hostname: "www.example.com".parse().unwrap(),
        stage: OrderStage::Waiting,
        failures: 0,
        fault: None,
        expires_at_s: None,
        due_at_s: NOW_S,
        updated_at_s: NOW_S,
    }
}

fn placed() -> OrderEvent {
    let key = SecretKey::new(*b"key");
    OrderEvent::Placed(PlacedOrder { url: "https://authority.example/order/1".to_owned(), key })
}

fn issued(days: i64) -> OrderEvent {
    OrderEvent::Issued { starts_at_s: NOW_S, expires_at_s: NOW_S + days * DAY_S }
}

fn failed(kind: FaultKind) -> OrderEvent {
    OrderEvent::Failed(OrderFault::new(kind, "as it is"))
}

fn events() -> impl Strategy<Value = Vec<(OrderEvent, i64)>> {
    let kinds = prop::sample::select(FaultKind::ALL.map(|(kind, _)| kind).to_vec());
    let event = prop_oneof![
        Just(placed()),
        (0..200_i64).prop_map(issued),
        kinds.prop_map(failed),
        Just(OrderEvent::Refreshed)
    ];
    prop::collection::vec((event, 0..40 * DAY_S), 0..60)
}

proptest! {
    #[test]
    fn a_history_never_loses_an_order_nor_hurries(events in events()) {
        let (mut order, mut now_s) = (order(1, 1), NOW_S);
        for (event, later_s) in events {
            now_s += later_s;
            let before = order.clone();
            order = before.clone().after(event.clone(), now_s);
            prop_assert_eq!(order.updated_at_s, now_s);
            // What is in force stays until another takes its place.
            match &event {
                OrderEvent::Issued { starts_at_s, expires_at_s } => {
                    prop_assert_eq!(order.expires_at_s, Some(*expires_at_s));
                    prop_assert!((*starts_at_s..=*expires_at_s).contains(&order.due_at_s));
                    prop_assert!(expires_at_s - order.due_at_s <= RENEWAL_MAX_S);
                    prop_assert_eq!((order.failures, &order.fault), (0, &None));
                }
                OrderEvent::Placed(_) | OrderEvent::Failed(_) | OrderEvent::Refreshed => {
                    prop_assert_eq!(order.expires_at_s, before.expires_at_s);
                }
            }
            if let OrderEvent::Failed(fault) = &event {
                let counts = !fault.kind.is_passing() || before.failures < PASSING_FAILURES_MAX;
                prop_assert_eq!(order.failures, before.failures + u32::from(counts));
                prop_assert!(order.due_at_s >= now_s + PAUSES_S[0], "nothing is tried at once again");
                prop_assert!(order.due_at_s <= now_s + PAUSE_MAX_S, "nothing is put off for ever");
                let in_force = order.expires_at_s.is_some_and(|end| end > now_s);
                prop_assert!(!in_force || order.stage == OrderStage::Waiting, "a renewal is not given up");
            }
            if let OrderEvent::Refreshed = event {
                prop_assert!(order.stage != OrderStage::GivenUp);
            }
            prop_assert_eq!(order.progress() == OrderProgress::Failed, order.stage == OrderStage::GivenUp);
        }
    }

    #[test]
    fn no_more_is_taken_up_than_there_is_room_for(
        due in prop::collection::vec((0..40_u128, 0..6_u128, any::<bool>()), 0..80),
        under_way in prop::collection::btree_map(0..40_u128, 0..6_u128, 0..5),
        started in prop::collection::btree_map(0..6_u128, 0..40_usize, 0..6),
    ) {
        let due: Vec<_> = due.into_iter().map(|(domain, number, is_placed)| {
            let order = order(domain, number);
            if is_placed { order.after(placed(), NOW_S) } else { order }
        }).collect();
        let under_way: BTreeMap<_, _> =
            under_way.into_iter().map(|(domain, number)| (Uuid::from_u128(domain), app(number))).collect();
        let started: BTreeMap<_, _> = started.into_iter().map(|(number, count)| (app(number), count)).collect();
        let taken = admitted(due.clone(), &under_way, &started);
        prop_assert!(taken.is_empty() || taken.len() + under_way.len() <= AT_ONCE_MAX);
        let new = |order: &&CertificateOrder| !matches!(order.stage, OrderStage::Placed(_));
        let total: usize = started.values().sum();
        let count = taken.iter().filter(new).count();
        prop_assert!(count == 0 || total + count <= PER_HOUR_MAX);
        for number in 0..6 {
            let mine = || taken.iter().filter(|order| order.app == app(number));
            let before = under_way.values().filter(|of| **of == app(number)).count();
            prop_assert!(mine().count() == 0 || mine().count() + before <= AT_ONCE_PER_APP_MAX);
            let hour = started.get(&app(number)).copied().unwrap_or_default();
            let count = mine().filter(new).count();
            prop_assert!(count == 0 || hour + count <= PER_APP_HOUR_MAX);
        }
        let domains: BTreeSet<_> = taken.iter().map(|order| order.domain).collect();
        prop_assert_eq!(domains.len(), taken.len(), "one order a domain");
        prop_assert!(domains.iter().all(|domain| !under_way.contains_key(domain)));
        if under_way.is_empty() && started.is_empty() {
            prop_assert!(due.is_empty() || !taken.is_empty(), "there is room, and nothing is taken up");
        }
    }
}

#[test]
fn an_order_fails_more_and_more_slowly_until_it_is_given_up() {
    let (mut order, mut now_s, mut pauses) = (order(1, 1), NOW_S, Vec::new());
    while order.stage != OrderStage::GivenUp {
        order = order.after(placed(), now_s).after(failed(FaultKind::NoHttp), now_s);
        pauses.push(order.due_at_s - now_s);
        now_s = order.due_at_s;
    }
    assert_eq!(pauses[..7], [60, 300, 900, 3600, 14_400, 43_200, 86_400]);
    assert_eq!(pauses.len(), 10);
    assert_eq!(order.progress(), OrderProgress::Failed);
    let again = order.after(OrderEvent::Refreshed, now_s);
    assert_eq!((again.progress(), again.due_at_s), (OrderProgress::Pending, now_s));
}

#[test]
fn an_authority_that_is_away_for_weeks_ends_no_order() {
    let (mut order, mut now_s) = (order(1, 1), NOW_S);
    for _ in 0..40 {
        order = order.after(placed(), now_s).after(failed(FaultKind::Authority), now_s);
        assert_eq!(order.stage, OrderStage::Waiting);
        assert!(order.due_at_s - now_s <= DAY_S / 2);
        now_s = order.due_at_s;
    }
    for left in (0..4).rev() {
        order = order.after(failed(FaultKind::NoHttp), now_s);
        assert_eq!(order.stage == OrderStage::GivenUp, left == 0, "what its owner could mend still counts");
    }
}

#[test]
fn what_cannot_be_had_is_given_up_at_once_and_a_limit_is_waited_for() {
    for kind in [FaultKind::Wildcard, FaultKind::Rejected] {
        assert_eq!(order(1, 1).after(failed(kind), NOW_S).stage, OrderStage::GivenUp);
    }
    let limited = order(1, 1).after(failed(FaultKind::RateLimited), NOW_S);
    assert_eq!((&limited.stage, limited.due_at_s), (&OrderStage::Waiting, NOW_S + RATE_LIMIT_PAUSE_S));
    for (asked, pause) in [(2 * DAY_S, 2 * DAY_S), (100 * DAY_S, ASKED_PAUSE_MAX_S), (-5, RATE_LIMIT_PAUSE_S)]
    {
        let not_before_s = Some(NOW_S + asked);
        let fault = OrderFault { not_before_s, ..OrderFault::new(FaultKind::RateLimited, "") };
        let limited = order(1, 1).after(OrderEvent::Failed(fault), NOW_S);
        assert_eq!(limited.due_at_s, NOW_S + pause, "{asked}");
    }
}

#[test]
fn a_certificate_is_renewed_in_time_and_stays_while_that_fails() {
    for (days, left) in [(90, 30), (365, 30), (6, 2)] {
        let in_force = order(1, 1).after(placed(), NOW_S).after(issued(days), NOW_S);
        assert_eq!(in_force.due_at_s, NOW_S + (days - left) * DAY_S, "{days}");
    }
    let mut renewed = order(1, 1).after(issued(90), NOW_S);
    for day in 60..89 {
        renewed = renewed.after(failed(FaultKind::Rejected), NOW_S + day * DAY_S);
        assert_eq!((&renewed.stage, renewed.progress()), (&OrderStage::Waiting, OrderProgress::Failing));
    }
    let over = renewed.after(failed(FaultKind::Rejected), NOW_S + 91 * DAY_S);
    assert_eq!(over.stage, OrderStage::GivenUp, "its certificate has expired");
}

#[test]
fn kinds_have_a_word_each_and_details_are_fit_to_be_shown() {
    for (kind, word) in FaultKind::ALL {
        assert_eq!((kind.as_str(), word.parse()), (word, Ok(kind)));
    }
    assert_eq!("?".parse::<FaultKind>(), Err(UnknownFault));
    let fault = OrderFault::new(FaultKind::Caa, &format!("a\u{1b}[31m\nb{}", "ü".repeat(400)));
    assert!(fault.detail.starts_with("a [31m b") && fault.detail.chars().count() == DETAIL_CHARACTERS_MAX);
}
