//! Requests by `wrk`, or `h2load` where they are HTTP/2, one thread of it, and what it tells.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
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
    /// Requests at once on each connection, of HTTP/2; HTTP/1 where there are none.
    pub streams: u32,
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
        if self.streams > 0 { self.run_http2() } else { self.run_http1() }
    }

    fn run_http2(self) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let status = Command::new("h2load")
            .args(["--threads", "1", "--clients", &self.connections.to_string()])
            .args(["--max-concurrent-streams", &self.streams.to_string()])
            .args(["--duration", &self.span.as_secs().to_string()])
            .arg(format!("--connect-to={}", self.address))
            .arg(format!("--log-file={}", log.display()))
            .arg(format!("https://app-0.localhost:{}{}", self.address.port(), self.path))
            .stdout(Stdio::null())
            .status()
            .expect("h2load: --install gets it");
        assert!(status.success(), "h2load: {status}");
        // A line a request: when it began, its status, and how long it took, both times in microseconds.
        let text = std::fs::read_to_string(log).unwrap();
        let rows: Vec<(i64, u64)> = text
            .lines()
            .map(|line| {
                let mut fields = line.split('\t').skip(1);
                let mut next = || fields.next().unwrap_or_else(|| panic!("h2load wrote {line:?}"));
                (next().parse().unwrap(), next().parse().unwrap())
            })
            .collect();
        let is_served = |status: i64| (200..300).contains(&status);
        let mut times: Vec<u64> =
            rows.iter().filter(|(status, _)| is_served(*status)).map(|(_, us)| *us).collect();
        times.sort_unstable();
        let requests = u64::try_from(times.len()).unwrap();
        let failed = u64::try_from(rows.len() - times.len()).unwrap();
        let at = |hundredth: usize| Duration::from_micros(times[(times.len() - 1) * hundredth / 100]);
        Served { requests, failed, took: self.span, p50: at(50), p99: at(99) }
    }

    fn run_http1(self) -> Served {
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
