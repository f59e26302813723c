//! The fourth stage: which of the dynos that are up? Pure.

use crate::domain::{Backend, DynoId};

/// One of `backends` that `is_left_out` does not leave out: the one that is `wanted`, or one chosen evenly by `random`;
/// none where all are left out.
pub(super) fn pick(
    backends: &[Backend],
    wanted: Option<DynoId>,
    is_left_out: impl Fn(&DynoId) -> bool,
    random: u32,
) -> Option<&Backend> {
    let eligible = || backends.iter().filter(|backend| !is_left_out(&backend.id));
    if let Some(wanted) = wanted
        && let Some(backend) = eligible().find(|backend| backend.id == wanted)
    {
        return Some(backend);
    }
    let count = eligible().count();
    // Multiplying maps the random number evenly onto the places, without the bias of a remainder (Lemire 2019).
    let place =
        usize::try_from((u64::from(random) * u64::try_from(count).unwrap_or(0)) >> u32::BITS).unwrap_or(0);
    eligible().nth(place)
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::NetnsAddress;

    fn backends(count: u32) -> Vec<Backend> {
        let backend = |n: u32| Backend {
            id: DynoId(Uuid::from_u128(n.into())),
            dyno: format!("web.{n}").parse().unwrap(),
            netns: NetnsAddress { path: "/".into(), device: 0, inode: 0 },
            address: None,
            port: 5000,
        };
        (1..=count).map(backend).collect()
    }

    #[test]
    fn every_dyno_gets_its_even_share() {
        let backends = backends(4);
        let mut counts = [0; 4];
        for step in 0..4096_u32 {
            let picked = pick(&backends, None, |_| false, step << 20).unwrap();
            counts[picked.dyno.index as usize - 1] += 1;
        }
        assert_eq!(counts, [1024; 4]);
    }

    #[test]
    fn the_wanted_one_is_picked_while_it_can_be() {
        let backends = backends(4);
        let third = backends[2].id;
        for random in [0, u32::MAX / 2, u32::MAX] {
            assert_eq!(pick(&backends, Some(third), |_| false, random), Some(&backends[2]));
            assert_ne!(pick(&backends, Some(third), |id| *id == third, random), Some(&backends[2]));
            assert!(pick(&backends, Some(DynoId(Uuid::max())), |_| false, random).is_some());
        }
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_never_picked(count in 0..20_u32, out in any::<u32>(), random in any::<u32>()) {
            let backends = backends(count);
            let is_left_out = |id: &DynoId| out & (1 << (id.0.as_u128() % 32)) != 0;
            let some_is_left = backends.iter().any(|b| !is_left_out(&b.id));
            let picked = pick(&backends, None, is_left_out, random);
            prop_assert_eq!(picked.is_some(), some_is_left);
            prop_assert!(picked.is_none_or(|b| !is_left_out(&b.id)));
        }
    }
}
