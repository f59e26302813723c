//! Scaling: how many dynos of which type and size; no release, and no restart of what stays.

use crate::domain::{App, DynoSize, Formation, FormationEntry, ProcessType, QuantityChange};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::error::FlowError;
use crate::flows::ports::Desired;
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
/// A type the app does not have, a limit that would be passed, the app is gone, or the node fails.
pub async fn scale(
    node: &Node,
    app: &App,
    updates: &[ScaleUpdate],
    actor: &Actor,
) -> Result<Desired, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let before = node.store().formation(app.id).await?;
    let after = scaled(&before, updates)?;
    if after != before {
        node.store().set_formation(app.id, after.clone()).await?;
        node.tell(app.id, &ApiLine::Scaled { formation: after, user: actor.0.clone() });
        node.apply(app).await?;
    }
    node.desired(app).await
}

/// The formation after `updates`, if the limits allow it.
fn scaled(before: &Formation, updates: &[ScaleUpdate]) -> Result<Formation, Refusal> {
    let mut entries: Vec<FormationEntry> = before.entries().to_vec();
    for update in updates {
        let entry = entries
            .iter_mut()
            .find(|entry| entry.process_type == update.process_type)
            .ok_or_else(|| Refusal::no_type(&update.process_type))?;
        entry.quantity = update.quantity.map_or(entry.quantity, |change| change.apply(entry.quantity));
        entry.size = update.size.unwrap_or(entry.size);
    }
    for entry in &entries {
        let single = matches!(entry.size, DynoSize::Eco | DynoSize::Basic);
        if single && entry.quantity > 1 {
            return Err(Refusal::OnePerType { size: entry.size });
        }
    }
    let after = Formation::new(entries);
    let wanted = after.total();
    if wanted > Formation::DYNOS_MAX {
        return Err(Refusal::TooManyDynos { wanted });
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
        }
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
        assert_eq!(refused.to_string(), "Couldn't find that process type (workr).");
    }

    #[test]
    fn limits_hold_for_the_sum() {
        let refused = scaled(&start(), &[update("web", "60"), update("worker", "60")]).unwrap_err();
        assert_eq!(refused, Refusal::TooManyDynos { wanted: 120 });
        let refused = scaled(&start(), &[update("web", "4294967295"), update("worker", "1")]).unwrap_err();
        assert!(matches!(refused, Refusal::TooManyDynos { .. }), "sums do not wrap");
        let basic = ScaleUpdate { size: Some(DynoSize::Basic), ..update("web", "2") };
        assert_eq!(scaled(&start(), &[basic]).unwrap_err(), Refusal::OnePerType { size: DynoSize::Basic });
    }
}
