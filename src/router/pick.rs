//! The fourth stage: which of the dynos that are up? Pure.

use crate::domain::{Backend, DynoId};

/// One of `backends` that `is_left_out` does not leave out: the one that is `wanted`, or one chosen evenly by `random`;
/// none where all are left out. With a `load`, only those with the least of it are chosen from.
pub(super) fn pick<'a>(
    backends: &'a [Backend],
    wanted: Option<DynoId>,
    is_left_out: impl Fn(&DynoId) -> bool,
    load: Option<&dyn Fn(&DynoId) -> usize>,
    random: u32,
) -> Option<&'a Backend> {
    let eligible = || backends.iter().filter(|backend| !is_left_out(&backend.id));
    if let Some(wanted) = wanted
        && let Some(backend) = eligible().find(|backend| backend.id == wanted)
    {
        return Some(backend);
    }
    let Some(load) = load else { return eligible().nth(place(random, eligible().count())) };
    // Looked at once: it changes meanwhile.
    let loads: Vec<_> = eligible().map(|backend| (load(&backend.id), backend)).collect();
    let least = loads.iter().map(|(load, _)| *load).min()?;
    let idlest = || loads.iter().filter(|(load, _)| *load == least);
    idlest().nth(place(random, idlest().count())).map(|(_, backend)| *backend)
}

/// One of `count` places. Multiplying maps the random number evenly onto them, without the bias of a remainder (Lemire 2019).
fn place(random: u32, count: usize) -> usize {
    usize::try_from((u64::from(random) * u64::try_from(count).unwrap_or(0)) >> u32::BITS).unwrap_or(0)
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
            let picked = pick(&backends, None, |_| false, None, step << 20).unwrap();
            counts[picked.dyno.index as usize - 1] += 1;
        }
        assert_eq!(counts, [1024; 4]);
    }

    #[test]
    fn the_wanted_one_is_picked_while_it_can_be() {
        let backends = backends(4);
        let third = backends[2].id;
        for random in [0, u32::MAX / 2, u32::MAX] {
            assert_eq!(pick(&backends, Some(third), |_| false, None, random), Some(&backends[2]));
            assert_ne!(pick(&backends, Some(third), |id| *id == third, None, random), Some(&backends[2]));
            assert!(pick(&backends, Some(DynoId(Uuid::max())), |_| false, None, random).is_some());
        }
    }

    #[test]
    fn of_those_with_the_fewest_requests_any_is_picked() {
        let backends = backends(4);
        let load = |dyno: &DynoId| [0, 5, 2, 2, 9][usize::try_from(dyno.0.as_u128()).unwrap()];
        let picked = |is_left_out: &dyn Fn(&DynoId) -> bool, random| {
            pick(&backends, None, is_left_out, Some(&load), random).unwrap().dyno.index
        };
        assert_eq!([0, u32::MAX].map(|random| picked(&|_| false, random)), [2, 3]);
        let without = |dyno: &DynoId| (2..4).contains(&dyno.0.as_u128());
        assert_eq!([0, u32::MAX].map(|random| picked(&without, random)), [1, 1]);
        let wanted = pick(&backends, Some(backends[3].id), |_| false, Some(&load), 0);
        assert_eq!(wanted, Some(&backends[3]), "whoever is wanted is, whatever it has in hand");
        assert_eq!(pick(&backends, None, |_| true, Some(&load), 0), None);
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_never_picked(count in 0..20_u32, out in any::<u32>(), random in any::<u32>()) {
            let backends = backends(count);
            let is_left_out = |id: &DynoId| out & (1 << (id.0.as_u128() % 32)) != 0;
            let some_is_left = backends.iter().any(|b| !is_left_out(&b.id));
            let picked = pick(&backends, None, is_left_out, None, random);
            prop_assert_eq!(picked.is_some(), some_is_left);
            prop_assert!(picked.is_none_or(|b| !is_left_out(&b.id)));
        }
    }
}
