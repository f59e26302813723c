//! From one dyno to many: until all of them answer, with what takes the time.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::node::{TestNode, eventually};
use crate::{APP, POLL, quantile, requests, web_dynos};

/// Clients that look who answers.
const CLIENTS: usize = 4;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Scales, prints the phases, and scales back.
pub fn measure(node: &TestNode, web: u32) {
    node.ok(&["ps:scale", "-a", APP, "web=1"]);
    eventually("one dyno is left", || web_dynos(node).len() == 1 && node.get(APP, "/").0 == 200);
    let wanted = usize::try_from(web).unwrap();
    let answered = Mutex::new(BTreeSet::new());
    let start = Instant::now();
    let over = || answered.lock().unwrap().len() >= wanted || start.elapsed() > PATIENCE;
    node.ok(&["ps:scale", "-a", APP, &format!("web={web}")]);
    let accepted = start.elapsed();
    // When the first, the second, ... dyno was seen up, and the same for answers.
    let (mut ups, mut firsts) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let client = || {
            let mut firsts = Vec::new();
            while !over() {
                let name = requests::get(node.router_port).ok();
                let name = name.and_then(|body| body.split_whitespace().last().map(str::to_owned));
                if let Some(name) = name
                    && answered.lock().unwrap().insert(name)
                {
                    firsts.push(start.elapsed());
                }
            }
            firsts
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        while !over() && ups.len() < wanted {
            let up = web_dynos(node).iter().filter(|(_, state, _)| state == "up").count();
            while ups.len() < up {
                ups.push(start.elapsed());
            }
            std::thread::sleep(POLL);
        }
        for client in clients {
            firsts.extend(client.join().unwrap());
        }
    });
    firsts.sort_unstable();
    assert_eq!(firsts.len(), wanted, "not all answered within {PATIENCE:?}");
    println!("\nps:scale web={web}, milliseconds from the command on");
    println!("  phase              first      half       all");
    let line = |what: &str, spans: &[Duration]| {
        let first = spans.get(1).or(spans.first()).map_or(f64::NAN, |span| span.as_secs_f64() * 1e3);
        println!("  {what:<14} {first:>9.0} {:>9.0} {:>9.0}", quantile(spans, 0.5), quantile(spans, 1.0));
    };
    line("accepted", &[accepted]);
    line("up", &ups);
    line("answered", &firsts);
    node.ok(&["ps:scale", "-a", APP, "web=1"]);
}
