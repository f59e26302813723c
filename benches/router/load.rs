//! Requests by `wrk`, one thread of it, and what it tells.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Sends each request to an app by chance, and at the end says what was, in numbers alone.
const SCRIPT: &str = r#"
local apps, path, keeps = APPS, "PATH", KEEPS
request = function()
  local headers = { Host = "app-" .. math.random(0, apps - 1) .. ".localhost" }
  if not keeps then headers["Connection"] = "close" end
  return wrk.format("GET", path, headers)
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub path: &'static str,
    pub connections: u32,
    /// Whether connections are used again.
    pub keeps: bool,
    pub apps: u32,
    pub secure: bool,
    pub span: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub requests: u64,
    pub failed: u64,
    pub took: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

impl Load {
    /// Asks until the time is over.
    pub fn run(self) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("load.lua");
        let text = SCRIPT.replace("APPS", &self.apps.to_string()).replace("PATH", self.path);
        std::fs::write(&script, text.replace("KEEPS", &self.keeps.to_string())).unwrap();
        let output = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "10s"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.span.as_secs())])
            .arg("--script")
            .arg(&script)
            .arg(format!("{}://{}{}", if self.secure { "https" } else { "http" }, self.address, self.path))
            .output()
            .expect("wrk: --install gets it");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let figures = said.lines().find_map(|line| line.strip_prefix("figures "));
        let figures =
            figures.unwrap_or_else(|| panic!("wrk said {said}{}", String::from_utf8_lossy(&output.stderr)));
        let figures: Vec<u64> = figures.split(' ').map(|figure| figure.parse().unwrap()).collect();
        let [requests, took, failed, p50, p99] = figures[..] else { panic!("wrk said {said}") };
        let [took, p50, p99] = [took, p50, p99].map(Duration::from_micros);
        Served { requests, failed, took, p50, p99 }
    }
}
