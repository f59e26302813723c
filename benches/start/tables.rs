//! What is measured, one table each.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dyno::runtime::Container;
use rand::Rng;

use crate::field::{Contender, Field, Figures, Load};
use crate::floor::Floor;
use crate::others::{Failure, Run};
use crate::stats::{Samples, cell, print};

/// Rounds before those that count.
const WARM_UP: usize = 3;

/// How a round is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    BackToBack,
    /// 100 to 500 ms between runs.
    Gaps,
}

/// What else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    None,
    Busy,
}

fn pause(pace: Pace) -> Duration {
    match pace {
        Pace::BackToBack => Duration::ZERO,
        Pace::Gaps => Duration::from_millis(rand::rng().random_range(100..=500)),
    }
}

/// Everybody's start and run of `true`.
pub fn compare(field: &mut Field, rounds: usize, pace: Pace, company: Company) {
    let load = (company == Company::Busy).then(Load::start);
    field.rounds(WARM_UP, || Duration::ZERO);
    let all = field.rounds(rounds, || pause(pace));
    drop(load);
    let heading = format!(
        "One container after the other, {}, {} ({} control groups, {rounds} paired runs)",
        if pace == Pace::Gaps { "100-500 ms apart" } else { "back to back" },
        if company == Company::Busy { "beside 4 busy processes" } else { "alone" },
        name(field),
    );
    let floor = all.iter().find(|(one, _)| one.is_floor()).map(|(_, figures)| figures.clone());
    let floor = floor.unwrap_or_default();
    let rows: Vec<_> = all.iter().map(|(one, figures)| row(one, figures, &floor)).collect();
    let columns =
        ["", "first instruction ms", "p99", "x floor", "run to end ms", "p99", "x floor", "hangs", "failed"];
    print(&heading, &columns, &rows);
    complain(&all);
}

fn name(field: &Field) -> &'static str {
    match field.view {
        crate::view::View::V2 => "version 2",
        crate::view::View::V1 => "version 1",
        crate::view::View::Host => "the host's",
    }
}

fn row(contender: &Contender, figures: &Figures, floor: &Figures) -> Vec<String> {
    let ratio =
        |own: &Samples, floor: &Samples| own.median().zip(floor.median()).map(|(own, floor)| own / floor);
    vec![
        contender.name().to_owned(),
        cell(figures.first.median(), 2),
        cell(figures.first.quantile(0.99), 2),
        cell(ratio(&figures.first, &floor.first), 2),
        cell(figures.whole.median(), 2),
        cell(figures.whole.quantile(0.99), 2),
        cell(ratio(&figures.whole, &floor.whole), 2),
        figures.hangs.to_string(),
        figures.broken.as_ref().map_or(0, |(count, _)| *count).to_string(),
    ]
}

fn complain(all: &[(Contender, Figures)]) {
    for (contender, figures) in all {
        if let Some((_, said)) = &figures.broken {
            println!("  {} said: {said}", contender.name());
        }
    }
}

/// Where the time of our own starts goes: medians of each step over starts out of the blue.
pub fn steps(field: &Field, starts: usize) -> Result<(), Failure> {
    let mut rows: Vec<(String, Samples, Samples)> = Vec::new();
    let mut whole = Samples::default();
    for _ in 0..starts {
        std::thread::sleep(pause(Pace::Gaps));
        let (laps, took_us) = field.ours.laps(&field.bundle)?;
        whole.push(took_us * 1000);
        for lap in laps {
            let name = format!("{:<8} {}", lap.side.to_string(), lap.step);
            let at = rows.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
                rows.push((name, Samples::default(), Samples::default()));
                rows.len() - 1
            });
            rows[at].1.push(lap.began_us * 1000);
            rows[at].2.push(lap.took_us * 1000);
        }
    }
    let heading = format!(
        "Steps of a start, medians of {starts} in ms; {} ms as the client sees it ({} control groups)",
        cell(whole.median(), 2),
        name(field)
    );
    let line = |(step, began, took): &(String, Samples, Samples)| {
        vec![step.clone(), cell(began.median(), 2), cell(took.median(), 2)]
    };
    print(&heading, &["", "began", "took"], &rows.iter().map(line).collect::<Vec<_>>());
    Ok(())
}

/// Containers per second with so many at a time.
pub fn throughput(field: &mut Field, total: usize) {
    let mut rows = Vec::new();
    for contender in field.contenders.clone() {
        let mut row = vec![contender.name().to_owned()];
        for workers in [1, 2, 8] {
            row.push(cell(rate(field, &contender, total, workers).ok(), 0));
        }
        rows.push(row);
    }
    let heading = format!("Containers per second, {total} runs of true ({} control groups)", name(field));
    print(&heading, &["at a time", "1", "2", "8"], &rows);
}

fn rate(field: &Field, contender: &Contender, total: usize, workers: usize) -> Result<f64, Failure> {
    type Worker<'a> = Box<dyn FnMut(usize) -> Result<Run, Failure> + Send + 'a>;
    let mut each: Vec<Worker<'_>> = Vec::new();
    for number in 0..workers {
        each.push(match contender {
            Contender::Program(program) => {
                let bundle = field.bundle.another(number, field.view, &field.group)?;
                Box::new(move |run| program.run(&bundle, &format!("w{number}-{run}")))
            }
            Contender::Ours(net) => {
                let ours = field.ours.client();
                Box::new(move |_| ours.run(&field.bundle, *net))
            }
            Contender::Floor(net) => {
                let mut floor = Floor::start(&field.bundle, &field.group, field.view, 1 + number)?;
                Box::new(move |_| floor.run(*net))
            }
        });
    }
    let failed = Mutex::new(None);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for mut worker in each {
            let failed = &failed;
            scope.spawn(move || {
                for run in 0..total / workers {
                    if let Err(failure) = worker(run) {
                        *failed.lock().expect("no panic") = Some(failure);
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("no panic") {
        None => Ok(total as f64 / began.elapsed().as_secs_f64()),
        Some(failure) => {
            println!("  {} at {workers}: {failure:?}", contender.name());
            Err(failure)
        }
    }
}

/// Starts among ever more that live; then what those cost, and how fast they end.
pub fn among_others(field: &mut Field, steps: &[usize], rounds: usize) -> Result<(), Failure> {
    let mut alive: Vec<Container> = Vec::new();
    let mut columns = vec!["alive".to_owned()];
    let mut rows: Vec<Vec<String>> = field.contenders.iter().map(|one| vec![one.name().to_owned()]).collect();
    for wanted in steps {
        while alive.len() < *wanted {
            alive.push(field.ours.idle(&field.bundle)?);
        }
        columns.extend([wanted.to_string(), "p99".to_owned()]);
        field.rounds(WARM_UP, || Duration::ZERO);
        for (row, (_, figures)) in rows.iter_mut().zip(field.rounds(rounds, || Duration::from_millis(20))) {
            row.push(cell(figures.first.median(), 2));
            row.push(cell(figures.first.quantile(0.99), 2));
        }
    }
    let heading = format!(
        "First instruction in ms with so many idle containers alive ({} control groups, {rounds} paired runs)",
        name(field)
    );
    print(&heading, &columns.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    memory(&alive);
    teardown(field, &alive)
}

/// What of ours an idle container holds: its init and its share of the spawner.
fn memory(alive: &[Container]) {
    let Some(first) = alive.first() else { return };
    let spawner = number(&format!("/proc/{}/status", first.init_pid()), "PPid:").unwrap_or(0);
    let kib = |pid: u64, field| number(&format!("/proc/{pid}/smaps_rollup"), field).unwrap_or(0);
    let inits = |field| alive.iter().map(|one| kib(u64::from(one.init_pid()), field)).sum::<u64>();
    let share = |sum: u64| format!("{:.0}", sum as f64 / alive.len() as f64);
    let threads = |pid: u64| number(&format!("/proc/{pid}/status"), "Threads:").unwrap_or(0);
    let row = |what: &str, pss: u64, dirty: u64, threads: u64| {
        vec![what.to_owned(), share(pss), share(dirty), threads.to_string()]
    };
    let (pss, dirty) = (inits("Pss:"), inits("Private_Dirty:"));
    let of_init = threads(u64::from(first.init_pid()));
    let rows = [
        row("init of each", pss, dirty, of_init),
        row("the spawner", kib(spawner, "Pss:"), kib(spawner, "Private_Dirty:"), threads(spawner)),
        row("together", pss + kib(spawner, "Pss:"), dirty + kib(spawner, "Private_Dirty:"), of_init),
    ];
    let heading = format!("Memory of ours per idle container, {} alive", alive.len());
    print(&heading, &["", "PSS KiB", "of it private and dirty", "threads"], &rows);
}

fn number(path: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn teardown(field: &Field, alive: &[Container]) -> Result<(), Failure> {
    let (mut known, mut cleared) = (Samples::default(), Samples::default());
    for container in alive {
        let (until_known, until_cleared) = field.ours.end(container)?;
        known.push(until_known);
        cleared.push(until_cleared);
    }
    let row = |what: &str, samples: &Samples| {
        vec![what.to_owned(), cell(samples.median(), 2), cell(samples.quantile(0.99), 2)]
    };
    let rows = [row("until its end is known", &known), row("until all of it is cleared away", &cleared)];
    let heading =
        format!("From SIGKILL, in ms ({} control groups, {} containers)", name(field), known.count());
    print(&heading, &["", "median", "p99"], &rows);
    Ok(())
}

/// Whether any run never ends.
pub fn hangs(field: &mut Field, runs: usize) {
    let load = Load::start();
    let all = field.rounds(runs, || Duration::ZERO);
    drop(load);
    let rows: Vec<_> = all
        .iter()
        .map(|(one, figures)| {
            let failed = figures.broken.as_ref().map_or(0, |(count, _)| *count);
            vec![one.name().to_owned(), figures.hangs.to_string(), failed.to_string()]
        })
        .collect();
    let heading =
        format!("Hangs in {runs} runs of true beside 4 busy processes ({} control groups)", name(field));
    print(&heading, &["", "hangs", "failed"], &rows);
    complain(&all);
}
