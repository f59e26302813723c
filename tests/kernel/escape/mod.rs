//! The escape suite: attacks as data, each first seen to succeed without isolation, then tried inside a container, where it must be
//! refused in the way that is expected. A probe that this machine has nothing for is recorded as skipped.
//!
//! The probes are functions of this very binary, which is static and runs itself inside the container (`inside`).

mod calls;
mod canary;
mod inside;
mod interfaces;
mod loose;
mod mounts;
mod privileges;
mod probe;
mod processes;
mod raw;
mod resources;
mod sockets;
mod stage;
mod staged;

use std::collections::{BTreeMap, BTreeSet};

use probe::{Probe, Verdict};

use crate::support::container::{Node, can_run};
use crate::support::skip::skip;

/// The suite is worth its name from this many probes on.
const PROBES_MIN: usize = 100;

/// A program's capabilities as its file carries them (capabilities(7), `vfs_cap_data`): effective at once, `CAP_NET_RAW`.
pub(crate) const FILE_CAPABILITIES: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];

/// All probes, in the order in which they are tried: those that exhaust something come last.
fn all_probes() -> impl Iterator<Item = &'static Probe> {
    let groups = [
        mounts::PROBES,
        calls::PROBES,
        privileges::PROBES,
        processes::PROBES,
        interfaces::PROBES,
        sockets::PROBES,
        resources::PROBES,
    ];
    groups.into_iter().flatten()
}

/// What one probe came to.
enum Outcome {
    /// Tried and refused.
    Refused,
    /// Nothing to attack here: why.
    Skipped(String),
    /// What is wrong.
    Defect(String),
}

fn judge(probe: &Probe, loose: Option<&Verdict>, inside: Option<&Verdict>) -> Outcome {
    let Some(inside) = inside else {
        return Outcome::Defect("it told nothing inside".to_owned());
    };
    if let Verdict::Got(what) = inside {
        return Outcome::Defect(format!("it SUCCEEDED in trying to {}: {what}", probe.attacks));
    }
    let absence = match loose {
        Some(Verdict::Got(_)) => None,
        Some(verdict) => match verdict.absence() {
            Some(absence) => Some(absence),
            None => {
                return Outcome::Defect(format!("it cannot fail: without isolation it came to {verdict:?}"));
            }
        },
        None => return Outcome::Defect("it told nothing without isolation".to_owned()),
    };
    match (absence, inside) {
        (Some(absence), _) => Outcome::Skipped(absence),
        (None, Verdict::Absent(what)) => Outcome::Defect(format!("it could not be tried inside: {what}")),
        (None, inside) if probe.is_refused(inside) => Outcome::Refused,
        (None, inside) => {
            Outcome::Defect(format!("refused, but by {inside:?} instead of {:?}", probe.refusals))
        }
    }
}

#[test]
fn whatever_a_program_tries_is_refused() {
    if !can_run("whatever_a_program_tries_is_refused") {
        return;
    }
    let (loose, inside) = stage::perform();
    report(&loose, &inside);
}

fn report(loose: &BTreeMap<String, Verdict>, inside: &BTreeMap<String, Verdict>) {
    let (mut tried, mut refused, mut skipped) = (0, 0, 0);
    let mut defects = Vec::new();
    for probe in all_probes() {
        tried += 1;
        match judge(probe, loose.get(probe.name), inside.get(probe.name)) {
            Outcome::Refused => refused += 1,
            Outcome::Skipped(why) => {
                skipped += 1;
                skip(&format!("escape_{}", probe.name), &why);
            }
            Outcome::Defect(what) => defects.push(format!("{}: {what}", probe.name)),
        }
    }
    println!("escape suite: {tried} tried, {refused} refused, {skipped} skipped");
    assert!(defects.is_empty(), "{} probes:\n  {}", defects.len(), defects.join("\n  "));
}

#[tokio::test]
async fn whatever_is_tried_with_a_hand_outside_is_refused() {
    if !can_run("whatever_is_tried_with_a_hand_outside_is_refused") {
        return;
    }
    let node = Node::start().await;
    let (mut refused, mut skipped, mut defects) = (0, 0, Vec::new());
    for probe in staged::PROBES {
        match (probe.attempt)(&node).await {
            Verdict::Absent(why) => {
                skipped += 1;
                skip(&format!("escape_{}", probe.name), &why);
            }
            verdict if probe::is_among(probe.refusals, &verdict) => refused += 1,
            verdict => {
                defects
                    .push(format!("{}: in trying to {} it came to {verdict:?}", probe.name, probe.attacks));
            }
        }
    }
    println!("escape suite, staged: {} tried, {refused} refused, {skipped} skipped", staged::PROBES.len());
    assert!(defects.is_empty(), "{} probes:\n  {}", defects.len(), defects.join("\n  "));
}

#[test]
fn there_are_many_probes_and_no_two_of_a_name() {
    let staged = staged::PROBES.iter().map(|probe| probe.name);
    let names: Vec<_> = all_probes().map(|probe| probe.name).chain(staged).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), distinct.len());
    assert!(names.len() >= PROBES_MIN, "{} probes", names.len());
}

#[test]
fn a_success_and_an_unexpected_refusal_are_noticed() {
    let probe = Probe::new("x", "x", &[probe::Refusal::Errno(1)], |_| Verdict::Errno(1));
    let got = Verdict::Got(String::new());
    let is_defect = |loose: &Verdict, inside: &Verdict| {
        matches!(judge(&probe, Some(loose), Some(inside)), Outcome::Defect(_))
    };
    assert!(is_defect(&got, &got));
    assert!(is_defect(&got, &Verdict::Errno(2)));
    assert!(is_defect(&Verdict::Errno(1), &Verdict::Errno(1)), "a probe that cannot succeed is no probe");
    assert!(is_defect(&Verdict::Errno(libc::ENOSYS), &got));
    assert!(!is_defect(&got, &Verdict::Errno(1)));
    assert!(matches!(
        judge(&probe, Some(&Verdict::Errno(libc::ENOSYS)), Some(&Verdict::Errno(1))),
        Outcome::Skipped(_)
    ));
}
