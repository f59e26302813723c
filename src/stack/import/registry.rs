//! An image in a registry: its layers are fetched, each checked against its digest on the way.
//!
//! Asked without a name or password, which is enough for what is published. Only a registry on this machine is asked without TLS.

use std::path::Path;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use oci_spec::image::ImageConfiguration;
use tokio::io::AsyncWriteExt;

use super::source::env_of;
use super::{Image, LAYERS_MAX};
use crate::stack::progress::Phase;
use crate::stack::{Progress, StackError};

/// Longest wait for a connection to a registry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence while a registry answers.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether `name` can be the name of an image; the reason is one clause.
pub(super) fn check(name: &str) -> Result<(), String> {
    reference(name).map(drop)
}

fn reference(name: &str) -> Result<Reference, String> {
    name.parse().map_err(|error| format!("it is no file, no directory and no name of an image ({error})"))
}

/// Fetches an image into the directory `into`, which is made. Blocks.
pub(super) fn pull(name: &str, into: &Path, progress: &mut dyn Progress) -> Result<Image, StackError> {
    let refused = |reason: String| StackError::Image { image: name.to_owned(), reason };
    let reference = reference(name).map_err(refused)?;
    std::fs::create_dir_all(into).map_err(StackError::file("create", into))?;
    let (told, layers) = std::sync::mpsc::channel();
    let into = into.to_owned();
    // A thread of its own: whoever calls may run on a runtime, in which nobody may block on another.
    let pulling = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(fetch(&reference, &into, &told))
    });
    while let Ok((number, count)) = layers.recv() {
        progress.update(
            Phase::Fetch,
            Phase::Fetch.part(number, count),
            &format!("layer {} of {count}", number + 1),
        );
    }
    match pulling.join() {
        Ok(pulled) => pulled.map_err(refused),
        Err(_) => Err(refused("the thread that fetches it has died".to_owned())),
    }
}

/// Which layer is fetched next, of how many.
type Told = std::sync::mpsc::Sender<(usize, usize)>;

/// The cryptography of this program's TLS, for a client that asks for that of the process.
fn provide_cryptography() {
    // Another part of the process has provided the same.
    let _there_already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}

async fn fetch(reference: &Reference, into: &Path, told: &Told) -> Result<Image, String> {
    provide_cryptography();
    let client = Client::new(ClientConfig {
        protocol: protocol(reference.registry()),
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        ..ClientConfig::default()
    });
    let anybody = RegistryAuth::Anonymous;
    let pulled = client.pull_manifest_and_config(reference, &anybody).await;
    let (manifest, digest, config) =
        pulled.map_err(|error| format!("the registry does not give its manifest: {error}"))?;
    let configuration = ImageConfiguration::from_reader(config.as_bytes())
        .map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let count = manifest.layers.len();
    if count == 0 || count > LAYERS_MAX {
        return Err(format!("it has no layer, or more than {LAYERS_MAX}"));
    }
    let mut layers = Vec::with_capacity(count);
    for (number, layer) in manifest.layers.iter().enumerate() {
        // Nobody listens once the caller has gone, and then the rest is of no use to anybody either.
        let _nobody_listens = told.send((number, count));
        let path = into.join(number.to_string());
        let mut file =
            tokio::fs::File::create(&path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        let pulled = client.pull_blob(reference, layer, &mut file).await;
        pulled.map_err(|error| format!("its layer {} could not be fetched: {error}", layer.digest))?;
        file.flush().await.map_err(|error| format!("{}: {error}", path.display()))?;
        layers.push(path);
    }
    Ok(Image { layers, env: env_of(&configuration), digest })
}

/// In the clear on this machine, where nobody listens; under TLS everywhere else.
fn protocol(registry: &str) -> ClientProtocol {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    match host {
        "localhost" | "127.0.0.1" | "[::1]" => ClientProtocol::Http,
        _ => ClientProtocol::Https,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_in_the_clear() {
        for registry in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "localhost"] {
            assert!(matches!(protocol(registry), ClientProtocol::Http), "{registry}");
        }
        for registry in ["registry.example", "localhost.example:5000", "127.0.0.10:80"] {
            assert!(matches!(protocol(registry), ClientProtocol::Https), "{registry}");
        }
    }

    #[test]
    fn what_cannot_be_an_image_is_no_name() {
        assert!(check("heroku/heroku:24-build").is_ok());
        assert!(check("a b").unwrap_err().contains("no name of an image"));
    }
}
