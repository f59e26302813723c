//! Telling webhooks what dynos do, by comparing one look at all dynos with the next.
//!
//! A state that lasts shorter than the time between two looks is told of no webhook; the last one always is.

use std::collections::HashMap;

use futures_util::{Stream, StreamExt as _};

use crate::domain::{Action, AppId, DynoId};
use crate::flows::Node;
use crate::flows::announce::{Subject, announce};
use crate::flows::ports::DynoView;
use crate::store::StoreError;

/// All dynos of the node at one time, each with its app.
type Look = HashMap<DynoId, (AppId, DynoView)>;

/// Tells of every change from the first of `looks` on; for as long as there are any.
pub async fn tell_of_dynos(node: Node, looks: impl Stream<Item = Vec<(AppId, DynoView)>> + Send + 'static) {
    let mut looks = std::pin::pin!(looks);
    let mut before: Option<Look> = None;
    while let Some(look) = looks.next().await {
        let now: Look = look.into_iter().map(|(app, view)| (view.id, (app, view))).collect();
        if let Some(before) = &before {
            for (app, view, action) in changes(before, &now) {
                if let Err(error) = tell(&node, app, view, action).await {
                    tracing::error!(%app, dyno = %view.name, %error, "the webhooks of an app are not told of a dyno");
                }
            }
        }
        before = Some(now);
    }
}

/// What has changed, those that are gone first.
fn changes<'a>(before: &'a Look, now: &'a Look) -> Vec<(AppId, &'a DynoView, Action)> {
    let gone = before.iter().filter(|(id, _)| !now.contains_key(id));
    let gone = gone.map(|(_, (app, view))| (*app, view, Action::Destroy));
    let changed = now.iter().filter_map(|(id, (app, view))| match before.get(id) {
        None => Some((*app, view, Action::Create)),
        Some((_, was)) if was != view => Some((*app, view, Action::Update)),
        Some(_) => None,
    });
    gone.chain(changed).collect()
}

async fn tell(node: &Node, app: AppId, view: &DynoView, action: Action) -> Result<(), StoreError> {
    let Some(app) = node.store().app_by_id(app).await? else { return Ok(()) };
    let Some(release) = node.store().release(app.id, view.release).await? else { return Ok(()) };
    announce(node, Subject::Dyno(&app, view, release.id), action, node.settings().owner.as_str()).await;
    Ok(())
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{DynoName, DynoSize, DynoState, Version};

    fn look(all: &[(u128, DynoState)]) -> Look {
        let view = |id: u128, state| DynoView {
            id: DynoId(Uuid::from_u128(id)),
            name: DynoName::new("web".parse().unwrap(), 1),
            state,
            created_s: 0,
            since_s: 0,
            command: "serve".to_owned(),
            size: DynoSize::default(),
            release: Version(3),
        };
        let app = AppId(Uuid::nil());
        all.iter().map(|(id, state)| (DynoId(Uuid::from_u128(*id)), (app, view(*id, *state)))).collect()
    }

    #[test]
    fn a_dyno_comes_changes_and_goes() {
        let before = look(&[(1, DynoState::Up), (2, DynoState::Starting), (3, DynoState::Up)]);
        let now = look(&[(2, DynoState::Up), (3, DynoState::Up), (4, DynoState::Starting)]);
        let mut told: Vec<_> = changes(&before, &now)
            .into_iter()
            .map(|(_, view, action)| (view.id.0.as_u128(), view.state, action))
            .collect();
        told.sort_by_key(|(id, ..)| *id);
        assert_eq!(
            told,
            [
                (1, DynoState::Up, Action::Destroy),
                (2, DynoState::Up, Action::Update),
                (4, DynoState::Starting, Action::Create)
            ]
        );
        assert!(changes(&now, &now).is_empty());
    }
}
