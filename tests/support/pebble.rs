//! Pebble, an authority for tests that speaks RFC 8555 as the great ones do, with names of its own: every one leads to this machine
//! unless a test says otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::node::{eventually, free_port};

/// The version that is installed.
const VERSION: &str = "2.10.3";
/// Names a folder that has the programs already.
const DIR_NAME: &str = "DYNO_TEST_PEBBLE";
/// The authority, and the name server beside it.
const PROGRAMS: [&str; 2] = ["pebble", "pebble-challtestsrv"];
/// How often it is begun: a port that was free a moment ago may be somebody's by then.
const ATTEMPTS: u32 = 3;
/// The most lines of what it said that a failed test shows.
const LINES_SHOWN: usize = 60;

/// What a node is asked at, and what its certificates are like.
pub struct Asked {
    /// The router's port for plain HTTP.
    pub http: u16,
    /// The router's port for TLS.
    pub tls: u16,
    /// How long certificates hold, seconds.
    pub life_s: u64,
}

/// An authority that runs; it ends when dropped.
pub struct Pebble {
    dir: PathBuf,
    port: u16,
    management: u16,
    names: u16,
    running: Vec<Child>,
}

/// The folder of its programs; why not, when they cannot be installed.
fn installed() -> Result<PathBuf, String> {
    if let Some(dir) = std::env::var_os(DIR_NAME) {
        return Ok(dir.into());
    }
    let dir = PathBuf::from(format!("/var/tmp/dyno-test-pebble-{VERSION}"));
    if dir.exists() {
        return Ok(dir);
    }
    // Aside first: another test may look at the same moment, and what is there must be whole.
    let aside = PathBuf::from(format!("{}.{}", dir.display(), std::process::id()));
    fs::create_dir_all(&aside).map_err(|error| error.to_string())?;
    let failed = |said: String| format!("pebble {VERSION} cannot be installed: {said}");
    let mut go = Command::new("go");
    go.arg("install")
        .args(PROGRAMS.map(|of| format!("github.com/letsencrypt/pebble/v2/cmd/{of}@v{VERSION}")));
    go.env("GOBIN", &aside).env("GOFLAGS", "-mod=mod").current_dir(&aside).stdin(Stdio::null());
    let outcome = go.output().map_err(|error| failed(error.to_string()))?;
    if !outcome.status.success() {
        let _gone = fs::remove_dir_all(&aside);
        return Err(failed(String::from_utf8_lossy(&outcome.stderr).into_owned()));
    }
    if fs::rename(&aside, &dir).is_err() {
        // Another test was faster.
        let _gone = fs::remove_dir_all(&aside);
    }
    Ok(dir)
}

impl Pebble {
    /// Starts one that asks at these ports; why not, when it cannot be installed. Its files are in `dir`, which goes with it.
    pub fn start(dir: &Path, asked: &Asked) -> Result<Self, String> {
        let programs = installed()?;
        let begun = (0..ATTEMPTS).find_map(|_| Self::begin(&programs, dir, asked));
        Ok(begun.expect("an authority that keeps running"))
    }

    /// Nothing if it ends at once.
    fn begin(programs: &Path, dir: &Path, asked: &Asked) -> Option<Self> {
        let dir = dir.to_owned();
        fs::create_dir_all(&dir).unwrap();
        let (port, management, names, dns) = (free_port(), free_port(), free_port(), free_port());
        own_certificates(&dir);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": dir.join("server.pem"), "privateKey": dir.join("server.key"),
            "httpPort": asked.http, "tlsPort": asked.tls,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "domainBlocklist": ["refused.example"], "keyAlgorithm": "ecdsa",
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "of a test", "validityPeriod": asked.life_s}},
        }});
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let run = |command: &mut Command| {
            let (out, err) = (log.try_clone().unwrap(), log.try_clone().unwrap());
            command.current_dir(&dir).stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap()
        };
        let mut name_server = Command::new(programs.join(PROGRAMS[1]));
        name_server.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        name_server.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        name_server.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        name_server.args(["-management", &format!("127.0.0.1:{names}")]);
        let mut authority = Command::new(programs.join(PROGRAMS[0]));
        authority.args(["-config", "config.json", "-dnsserver", &format!("127.0.0.1:{dns}")]);
        // Names are looked at each time, and at once; what it refuses by chance of all that is well is no matter of a test.
        authority.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        authority.env("PEBBLE_WFE_NONCEREJECT", "0");
        let running = vec![run(&mut name_server), run(&mut authority)];
        let mut pebble = Self { dir, port, management, names, running };
        let mut root = None;
        let mut has_ended = false;
        eventually("the authority answers or ends", || {
            has_ended = pebble.running.iter_mut().any(|child| child.try_wait().unwrap().is_some());
            root = pebble.fetched("/roots/0");
            has_ended || root.is_some()
        });
        fs::write(pebble.root(), root.filter(|_| !has_ended)?).unwrap();
        Some(pebble)
    }

    /// The section of a node's configuration by which it gets certificates here.
    pub fn section(&self, challenge: &str) -> String {
        format!(
            "[acme]\nagree = true\ndirectory = \"https://localhost:{}/dir\"\ncontact = \"me@example.com\"\n\
             root = \"{}\"\nchallenge = \"{challenge}\"\n",
            self.port,
            self.dir.join("ca.pem").display()
        )
    }

    /// A file with the root of the certificates that it gives.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root.pem")
    }

    /// Has a name lead elsewhere.
    pub fn leads(&self, name: &str, address: &str) {
        self.told("clear-a", &json!({"host": name}).to_string());
        self.told("add-a", &json!({"host": name, "addresses": [address]}).to_string());
    }

    /// Has nobody know a name.
    pub fn forgets(&self, name: &str) {
        self.told("set-servfail", &json!({"host": name}).to_string());
    }

    /// What it has said.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    fn fetched(&self, path: &str) -> Option<Vec<u8>> {
        let url = format!("https://localhost:{}{path}", self.management);
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--noproxy", "*", "--cacert"]).arg(self.dir.join("ca.pem")).arg(url);
        let output = curl.output().unwrap();
        output.status.success().then_some(output.stdout)
    }

    fn told(&self, path: &str, body: &str) {
        let url = format!("http://127.0.0.1:{}/{path}", self.names);
        let mut curl = Command::new("curl");
        let output = curl.args(["-sSf", "--noproxy", "*", "-d", body, &url]).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        for child in &mut self.running {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
        if !std::thread::panicking() {
            let _gone = fs::remove_dir_all(&self.dir);
        }
    }
}

/// What the authority's own server shows: the certificates that it gives are another matter.
fn own_certificates(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // Of another name than what it signs, which would pass for signed by itself.
    params.distinguished_name.push(rcgen::DnType::CommonName, "of a test");
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let own = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    fs::write(dir.join("server.pem"), server.signed_by(&own, &issuer).unwrap().pem()).unwrap();
    fs::write(dir.join("server.key"), own.serialize_pem()).unwrap();
}
