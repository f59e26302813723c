//! nginx as Debian has it: connections to the backend are kept, and each request leaves a line with the fields of ours in a file.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::measure::Server;
use crate::{Proxy, Setup, host};

const NGINX: &str = "/usr/sbin/nginx";

/// A server, and the directory of its files.
struct Nginx {
    server: Server,
    _dir: TempDir,
}

pub fn start(setup: &Setup<'_>) -> Option<Box<dyn Proxy>> {
    if !Path::new(NGINX).exists() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let apps: String = (0..setup.apps).map(|app| format!("    {} backend;\n", host(app))).collect();
    let pem = dir.path().join("pem");
    let (tls, certificate) = match setup.certificate {
        Some(shown) => {
            std::fs::write(&pem, &shown.pem).unwrap();
            let pem = pem.display();
            let protocols = if setup.http2 { "ssl http2" } else { "ssl" };
            (protocols, format!("ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.3;"))
        }
        None => ("", String::new()),
    };
    let config = format!(
        r#"daemon off;
user root;
worker_processes {workers};
pid {dir}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  log_format line 'at=info method=$request_method path="$request_uri" host=$host request_id=$request_id fwd="$remote_addr" connect=$upstream_connect_time service=$upstream_response_time status=$status bytes=$bytes_sent protocol=http';
  access_log {dir}/log line buffer=64k flush=1s;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  keepalive_requests 1000000000;
  map_hash_max_size 65536; map_hash_bucket_size 128;
  map $http_upgrade $to_upgrade {{ default upgrade; '' ''; }}
  map $host $to {{
    default unknown;
{apps}  }}
  upstream backend {{ server {backend}; keepalive 256; keepalive_requests 1000000000; }}
  upstream unknown {{ server 127.0.0.1:1; }}
  server {{
    listen {listen} {tls} reuseport backlog=4096;
    {certificate}
    location / {{
      proxy_pass http://$to;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection $to_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Request-Start $msec;
      proxy_read_timeout 1h;
    }}
  }}
}}
"#,
        workers = setup.workers,
        dir = dir.path().display(),
        backend = setup.backend.address,
        listen = setup.listen,
    );
    let path = dir.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let checked =
        Command::new(NGINX).arg("-t").arg("-q").arg("-c").arg(&path).arg("-p").arg(dir.path()).status();
    assert!(checked.is_ok_and(|status| status.success()), "nginx understands its configuration");
    let mut command = Command::new(NGINX);
    command.arg("-c").arg(&path).arg("-p").arg(dir.path()).stdin(Stdio::null());
    Some(Box::new(Nginx { server: Server(command.spawn().unwrap()), _dir: dir }))
}

impl Proxy for Nginx {
    fn pids(&self) -> Vec<u32> {
        let master = self.server.0.id();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([master]).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master that is killed would leave its workers behind.
        self.server.end();
    }
}
