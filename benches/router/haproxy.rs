//! haproxy as Debian has it: connections to the backend are kept, and each request leaves a line in a file.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::measure::Server;
use crate::{Proxy, Setup, host};

const HAPROXY: &str = "/usr/sbin/haproxy";

/// A server, and the directory of its files.
struct Haproxy {
    server: Server,
    _dir: TempDir,
}

pub fn start(setup: &Setup<'_>) -> Option<Box<dyn Proxy>> {
    if !Path::new(HAPROXY).exists() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let apps: String = (0..setup.apps).map(|app| format!("{} backend\n", host(app))).collect();
    std::fs::write(at("apps"), apps).unwrap();
    let tls = match setup.certificate {
        Some(shown) => {
            std::fs::write(at("pem"), &shown.pem).unwrap();
            let offered = if setup.http2 { "alpn h2,http/1.1" } else { "" };
            format!("ssl crt {} ssl-min-ver TLSv1.3 {offered}", at("pem").display())
        }
        None => String::new(),
    };
    let config = format!(
        r#"global
  nbthread {workers}
  maxconn 8000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  option http-keep-alive
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend front
  bind {listen} {tls}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Start %[date()]
  use_backend %[req.hdr(host),field(1,:),lower,map({apps},unknown)]
backend backend
  http-reuse safe
  server one {backend} pool-max-conn 256
backend unknown
  http-request deny deny_status 404
"#,
        workers = setup.workers,
        listen = setup.listen,
        apps = at("apps").display(),
        backend = setup.backend.address,
    );
    std::fs::write(at("haproxy.cfg"), config).unwrap();
    let checked = Command::new(HAPROXY).arg("-c").arg("-q").arg("-f").arg(at("haproxy.cfg")).status();
    assert!(checked.is_ok_and(|status| status.success()), "haproxy understands its configuration");
    let mut command = Command::new(HAPROXY);
    command.arg("-db").arg("-f").arg(at("haproxy.cfg")).stdin(Stdio::null());
    command.stdout(File::create(at("log")).unwrap()).stderr(Stdio::null());
    Some(Box::new(Haproxy { server: Server(command.spawn().unwrap()), _dir: dir }))
}

impl Proxy for Haproxy {
    fn pids(&self) -> Vec<u32> {
        vec![self.server.0.id()]
    }
}
