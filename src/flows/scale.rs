//! Scaling: how many dynos of which type and size; no release, and no restart of what stays.

use std::time::Duration;

use crate::domain::{
    Action, App, Bytes, DynoSize, Formation, FormationEntry, ProcessType, QuantityChange, Sizes,
};
use crate::flows::access::Actor;
use crate::flows::announce::{Subject, announce};
use crate::flows::error::FlowError;
use crate::flows::ports::Desired;
use crate::flows::{Node, Quotas};
use crate::wire::api_errors::Refusal;
use crate::wire::logline::ApiLine;

/// A change to one type; `None` keeps.
#[derive(Clone, Debug)]
pub struct ScaleUpdate {
    /// Which type.
    pub process_type: ProcessType,
    /// How many.
    pub quantity: Option<QuantityChange>,
    /// How large.
    pub size: Option<DynoSize>,
    /// How long each may take to stop; zero is the node's own span.
    pub stop_grace: Option<Duration>,
}

/// The formation of an app with the release whose commands it runs.
///
/// # Errors
/// The app is gone, or the node fails.
pub async fn formation(node: &Node, app: &App) -> Result<Desired, FlowError> {
    node.desired(app).await
}

/// Scales several types at once: all of it happens, or none.
///
/// # Errors
/// A type the app does not have, a limit that would be passed, memory that the node has not, the app is gone, or the node
/// fails.
pub async fn scale(
    node: &Node,
    app: &App,
    updates: &[ScaleUpdate],
    actor: &Actor,
) -> Result<Desired, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let before = node.store().formation(app.id).await?;
    let after = scaled(&before, updates, &node.settings().quotas)?;
    if after != before {
        let _promising = node.locks().memory().await;
        check_memory(node, app, &before, &after).await?;
        node.store().set_formation(app.id, after.clone()).await?;
        node.tell(app.id, &ApiLine::Scaled { formation: after, user: actor.0.clone() });
        node.apply(app).await?;
        let desired = node.desired(app).await?;
        for entry in desired.formation.entries() {
            let name = &entry.process_type;
            if before.entry(name) != Some(entry) {
                announce(node, Subject::Formation(&desired, name), Action::Update, &actor.0).await;
            }
        }
        return Ok(desired);
    }
    node.desired(app).await
}

/// Refuses a formation for which the node has not the memory.
async fn check_memory(
    node: &Node,
    app: &App,
    before: &Formation,
    after: &Formation,
) -> Result<(), FlowError> {
    let quotas = &node.settings().quotas;
    let Some(memory) = quotas.memory else { return Ok(()) };
    let formations = node.store().formations().await?;
    let others = formations.iter().filter(|(other, _)| **other != app.id);
    let others = others.map(|(_, formation)| asked(formation, &quotas.sizes).0).fold(0, u64::saturating_add);
    let room = memory.room(asked(before, &quotas.sizes), asked(after, &quotas.sizes), Bytes(others));
    Ok(room.map_err(Refusal::Memory)?)
}

/// The memory that the dynos of a formation may use within their quotas.
fn asked(formation: &Formation, sizes: &Sizes) -> Bytes {
    let of =
        |entry: &FormationEntry| sizes.limits(entry.size).memory.0.saturating_mul(u64::from(entry.quantity));
    Bytes(formation.entries().iter().map(of).fold(0, u64::saturating_add))
}

/// The formation after `updates`, if the limits allow it.
fn scaled(before: &Formation, updates: &[ScaleUpdate], quotas: &Quotas) -> Result<Formation, Refusal> {
    let mut entries: Vec<FormationEntry> = before.entries().to_vec();
    let known = before.entries().iter().map(|entry| &entry.process_type);
    for update in updates {
        let entry = entries
            .iter_mut()
            .find(|entry| entry.process_type == update.process_type)
            .ok_or_else(|| Refusal::no_type(update.process_type.as_str(), known.clone()))?;
        entry.quantity = update.quantity.map_or(entry.quantity, |change| change.apply(entry.quantity));
        if let Some(size) = update.size {
            entry.size = quotas.sizes.known(size).map_err(Refusal::Size)?;
        }
        if let Some(grace) = update.stop_grace {
            if grace > Formation::STOP_GRACE_MAX {
                return Err(Refusal::StopGrace { limit_s: Formation::STOP_GRACE_MAX.as_secs() });
            }
            entry.stop_grace = Some(grace).filter(|grace| !grace.is_zero());
        }
        let limit = quotas.sizes.limits(entry.size).per_type_max.unwrap_or(u32::MAX);
        if entry.quantity > limit {
            return Err(Refusal::TooManyPerType { limit, size: entry.size });
        }
    }
    let after = Formation::new(entries);
    let (wanted, limit) = (after.total(), quotas.dynos_per_app_max);
    // One that was made under another limit may still shrink.
    if wanted > limit && wanted > before.total() {
        return Err(Refusal::TooManyDynos { wanted, limit });
    }
    Ok(after)
}

#[cfg(test)]
mod test {
    use super::*;

    fn update(process_type: &str, quantity: &str) -> ScaleUpdate {
        ScaleUpdate {
            process_type: process_type.parse().unwrap(),
            quantity: Some(quantity.parse().unwrap()),
            size: None,
            stop_grace: None,
        }
    }

    fn scaled(before: &Formation, updates: &[ScaleUpdate]) -> Result<Formation, Refusal> {
        super::scaled(before, updates, &Quotas::default())
    }

    fn start() -> Formation {
        Formation::default().deployed(&["web".parse().unwrap(), "worker".parse().unwrap()])
    }

    fn quantities(formation: &Formation) -> Vec<u32> {
        formation.entries().iter().map(|entry| entry.quantity).collect()
    }

    #[test]
    fn several_types_scale_at_once() {
        let after = scaled(&start(), &[update("web", "+2"), update("worker", "1")]).unwrap();
        assert_eq!(quantities(&after), [3, 1]);
        let after = scaled(&after, &[update("web", "-9")]).unwrap();
        assert_eq!(quantities(&after), [0, 1]);
    }

    #[test]
    fn an_unknown_type_refuses_the_whole() {
        let refused = scaled(&start(), &[update("web", "2"), update("workr", "1")]).unwrap_err();
        assert_eq!(refused.to_string(), "Couldn't find that process type (workr): there are web and worker.");
    }

    #[test]
    fn limits_hold_for_the_sum() {
        let refused = scaled(&start(), &[update("web", "60"), update("worker", "60")]).unwrap_err();
        assert_eq!(refused, Refusal::TooManyDynos { wanted: 120, limit: 100 });
        let refused = scaled(&start(), &[update("web", "4294967295"), update("worker", "1")]).unwrap_err();
        assert!(matches!(refused, Refusal::TooManyDynos { .. }), "sums do not wrap");
        let of = |size: DynoSize, quantity| ScaleUpdate { size: Some(size), ..update("web", quantity) };
        let refused = scaled(&start(), &[of(DynoSize::Basic, "2")]).unwrap_err();
        assert_eq!(refused.to_string(), "Cannot update to more than 1 Basic size dynos per process type.");
        let refused = scaled(&start(), &[of(DynoSize::PerformanceM, "11")]).unwrap_err();
        assert_eq!(refused, Refusal::TooManyPerType { limit: 10, size: DynoSize::PerformanceM });
    }

    #[test]
    fn sizes_are_those_of_the_node() {
        let own: DynoSize = "huge".parse().unwrap();
        let update = ScaleUpdate { size: Some(own), quantity: None, ..update("web", "1") };
        assert!(matches!(scaled(&start(), std::slice::from_ref(&update)), Err(Refusal::Size(_))));
        let mut quotas = Quotas::default();
        quotas.sizes.set(own, quotas.sizes.limits(own));
        let after = super::scaled(&start(), &[update], &quotas).unwrap();
        assert_eq!(after.entries()[0].size, own);
        assert_eq!(asked(&after, &quotas.sizes), Bytes::mib(512));
    }

    #[test]
    fn a_time_to_stop_is_set_and_taken_back() {
        let update = |seconds| ScaleUpdate {
            quantity: None,
            stop_grace: Some(Duration::from_secs(seconds)),
            ..update("worker", "0")
        };
        let after = scaled(&start(), &[update(90)]).unwrap();
        assert_eq!(after.entries()[1].stop_grace, Some(Duration::from_secs(90)));
        assert_eq!(scaled(&after, &[update(0)]).unwrap().entries()[1].stop_grace, None);
        assert_eq!(scaled(&after, &[update(3601)]), Err(Refusal::StopGrace { limit_s: 3600 }));
    }
}
