//! An image in a directory, as the OCI image layout describes it: `index.json`, and blobs by their digests.

use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os};

use super::source::{digest, env_of};
use super::{Image, LAYERS_MAX};
use crate::stack::StackError;

/// How deep an index may lie in an index.
const DEPTH_MAX: usize = 4;

/// Reads the image of this kind of machine; the contents of its blobs are those that their digests say.
pub(super) fn read(dir: &Path) -> Result<Image, StackError> {
    let refused = |reason: String| StackError::Image { image: dir.display().to_string(), reason };
    let index = ImageIndex::from_file(dir.join("index.json"))
        .map_err(|error| refused(format!("index.json cannot be read: {error}")))?;
    let chosen = choose(dir, &index, 0).map_err(refused)?;
    let manifest = ImageManifest::from_file(blob(dir, &chosen)?)
        .map_err(|error| refused(format!("its manifest cannot be read: {error}")))?;
    let configuration = ImageConfiguration::from_file(blob(dir, manifest.config())?)
        .map_err(|error| refused(format!("its configuration cannot be read: {error}")))?;
    if manifest.layers().is_empty() || manifest.layers().len() > LAYERS_MAX {
        return Err(refused(format!("it has no layer, or more than {LAYERS_MAX}")));
    }
    let layers = manifest.layers().iter().map(|layer| blob(dir, layer)).collect::<Result<_, _>>()?;
    Ok(Image { layers, env: env_of(&configuration), digest: chosen.digest().to_string() })
}

/// The manifest for this kind of machine; one that names no kind will do.
fn choose(dir: &Path, index: &ImageIndex, depth: usize) -> Result<Descriptor, String> {
    let fits = |one: &&Descriptor| {
        one.platform()
            .as_ref()
            .is_none_or(|platform| *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64)
    };
    let chosen = index.manifests().iter().find(fits);
    let chosen = chosen.ok_or("it has no manifest for Linux on amd64")?;
    if *chosen.media_type() != MediaType::ImageIndex {
        return Ok(chosen.clone());
    }
    if depth == DEPTH_MAX {
        return Err(format!("its indexes are more than {DEPTH_MAX} deep"));
    }
    let path = blob(dir, chosen).map_err(|error| error.to_string())?;
    let inner = ImageIndex::from_file(path).map_err(|error| format!("an index cannot be read: {error}"))?;
    choose(dir, &inner, depth + 1)
}

/// The file of a blob, whose contents are looked at.
fn blob(dir: &Path, described: &Descriptor) -> Result<PathBuf, StackError> {
    let named = described.digest().to_string();
    let refused = |reason: &str| StackError::Image {
        image: dir.display().to_string(),
        reason: format!("the blob {named} {reason}"),
    };
    let hex = named.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| refused("is named by no SHA-256"))?;
    let path = dir.join("blobs/sha256").join(hex);
    if !path.is_file() {
        return Err(refused("is not there: the layout is incomplete"));
    }
    if digest(&path)? != hex {
        return Err(refused("does not hold what its name says: get the image again"));
    }
    Ok(path)
}

#[cfg(test)]
mod test {
    use sha2::{Digest, Sha256};

    use super::*;

    fn put(dir: &Path, text: &str) -> String {
        let hex = hex::encode(Sha256::digest(text));
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        std::fs::write(dir.join("blobs/sha256").join(&hex), text).unwrap();
        hex
    }

    fn described(kind: &str, hex: &str, text: &str, more: &str) -> String {
        let size = text.len();
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{hex}","size":{size}{more}}}"#
        )
    }

    /// A layout with an index in its index, and an image for another kind of machine before ours.
    fn laid_out(dir: &Path) -> String {
        let layer = put(dir, "a layer");
        let config = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/x","A=1"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            described("config.v1+json", &put(dir, config), config, ""),
            described("layer.v1.tar", &layer, "a layer", "")
        );
        let platform = |arch: &str| format!(r#","platform":{{"architecture":"{arch}","os":"linux"}}"#);
        let inner = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
            described("manifest.v1+json", &"0".repeat(64), "", &platform("arm64")),
            described("manifest.v1+json", &put(dir, &manifest), &manifest, &platform("amd64"))
        );
        let outer = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            described("index.v1+json", &put(dir, &inner), &inner, "")
        );
        std::fs::write(dir.join("index.json"), outer).unwrap();
        layer
    }

    #[test]
    fn the_image_for_this_machine_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let layer = laid_out(dir.path());
        let image = read(dir.path()).unwrap();
        assert_eq!(image.layers, [dir.path().join("blobs/sha256").join(layer)]);
        assert_eq!((image.env["PATH"].as_str(), image.env["A"].as_str()), ("/x", "1"));
        assert!(image.digest.starts_with("sha256:"));
    }

    #[test]
    fn a_blob_that_is_not_what_its_name_says_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blobs/sha256").join(laid_out(dir.path()));
        std::fs::write(&path, "another layer").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("does not hold what its name says"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("the layout is incomplete"));
        std::fs::write(dir.path().join("index.json"), "{").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("index.json cannot be read"));
    }
}
