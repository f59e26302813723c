//! `dyno trust`

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::sys::fs::write_atomically;
use crate::sys::privilege;

/// Where this machine's administrator puts certificates that programs are to trust (update-ca-certificates(8)).
const DIRECTORY: &str = "/usr/local/share/ca-certificates";
/// What makes programs trust them.
const UPDATER: &str = "update-ca-certificates";
/// Bytes of the digest that tell the authorities of several nodes apart.
const FINGERPRINT_BYTES: usize = 8;
/// Anyone may read a certificate.
const PUBLIC_FILE: u32 = 0o644;

/// Have the programs of this machine trust the node's certificates
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Have them trust the node's certificates no longer
    #[arg(long, conflicts_with = "print")]
    remove: bool,
    #[command(flatten)]
    only: Only,
}

/// What leaves the machine as it is.
#[derive(Debug, clap::Args)]
struct Only {
    /// Only print the certificate of the node's authority, to be taken to another machine
    #[arg(long)]
    print: bool,
}

/// What the node says of itself.
#[derive(Debug, Deserialize)]
struct Node {
    https_port: Option<u16>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let answer = context.client.stream("/authority.pem").await?;
        let pem = answer.collect().await.map_err(Failure::connection("reading the certificate"))?.to_bytes();
        if self.only.print {
            return output::bytes(&pem);
        }
        if !privilege::is_root() {
            return Err(Failure::Usage(
                "What this machine trusts is root's to say: run this as root, or give the certificate that `dyno trust \
                 --print` prints to your own programs."
                    .to_owned(),
            ));
        }
        let path = path(&pem);
        let node: Node = context.client.get("/node").await?;
        if self.remove {
            let removing = remove(&path);
            output::action("Removing the node's authority from what this machine trusts", removing, |_| None)
                .await?;
        } else {
            let adding = add(&path, &pem);
            output::action("Adding the node's authority to what this machine trusts", adding, |_| None)
                .await?;
        }
        if context.node.json {
            return output::json(&json!({ "certificate": path, "trusted": !self.remove }));
        }
        match node.https_port {
            Some(_) if self.remove => Ok(()),
            Some(443) => output::data("Apps answer at https://APP.localhost/ on this machine.\n"),
            Some(port) => {
                output::data(&format!("Apps answer at https://APP.localhost:{port}/ on this machine.\n"))
            }
            None => Ok(()),
        }
    }
}

/// The file of a node's authority.
fn path(pem: &[u8]) -> PathBuf {
    let digest = Sha256::digest(pem);
    Path::new(DIRECTORY).join(format!("dyno-{}.crt", hex::encode(&digest[..FINGERPRINT_BYTES])))
}

async fn add(path: &Path, pem: &[u8]) -> Result<(), Failure> {
    let written = write_atomically(path, pem)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(PUBLIC_FILE)));
    written.map_err(Failure::local(format!("write {}", path.display())))?;
    update(&[]).await
}

async fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::Nothing("This machine does not trust the node's authority.".to_owned()));
        }
        removed => removed.map_err(Failure::local(format!("remove {}", path.display())))?,
    }
    // Otherwise a link to what is gone would stay.
    update(&["--fresh"]).await
}

async fn update(args: &[&str]) -> Result<(), Failure> {
    let done = Command::new(UPDATER).args(args).output().await;
    let done = done.map_err(Failure::local(format!("run {UPDATER}, of the package ca-certificates")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(Failure::Local {
        attempt: format!("have {UPDATER} do its work"),
        source: std::io::Error::other(said.lines().last().unwrap_or("it failed").to_owned()),
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nodes_have_files_of_their_own() {
        let one = path(b"one");
        assert_eq!(one.parent(), Some(Path::new(DIRECTORY)));
        assert_eq!(one.extension().and_then(|end| end.to_str()), Some("crt"), "others are not looked at");
        assert_ne!(one, path(b"two"));
    }
}
