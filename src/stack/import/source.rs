//! Where an image lies, and how its archives are compressed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Image, environment, layout, registry};
use crate::stack::{Progress, StackError};

/// How much of an archive is hashed at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// How many first bytes tell how an archive is compressed.
const MAGIC_BYTES: usize = 6;

/// Where an image lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A root file system in one archive.
    Archive(PathBuf),
    /// An OCI layout.
    Layout(PathBuf),
    /// In a registry, under this name.
    Registry(String),
}

impl Source {
    /// Paths are told from names by what is there, or by how they begin.
    pub(super) fn of(text: &str) -> Result<Self, StackError> {
        let path = Path::new(text);
        if path.join("oci-layout").is_file() {
            return Ok(Self::Layout(path.to_owned()));
        }
        if path.is_file() {
            return Ok(Self::Archive(path.to_owned()));
        }
        let refused = |reason: String| StackError::Image { image: text.to_owned(), reason };
        if path.is_dir() {
            return Err(refused("the directory is no OCI layout: it has no file oci-layout".to_owned()));
        }
        if text.starts_with(['/', '.']) {
            return Err(refused("there is no such file or directory".to_owned()));
        }
        registry::check(text).map_err(refused)?;
        Ok(Self::Registry(text.to_owned()))
    }

    /// The image; what must be fetched is put into `into`, which is made.
    pub(super) fn image(&self, into: &Path, progress: &mut dyn Progress) -> Result<Image, StackError> {
        match self {
            Self::Archive(path) => {
                let path = std::path::absolute(path).map_err(StackError::file("find", path))?;
                let digest = digest(&path)?;
                Ok(Image { layers: vec![path], env: environment(&[]), digest })
            }
            Self::Layout(dir) => {
                let dir = std::path::absolute(dir).map_err(StackError::file("find", dir))?;
                layout::read(&dir)
            }
            Self::Registry(name) => registry::pull(name, into, progress),
        }
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(path: &Path) -> Result<String, StackError> {
    let hashed = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return Ok(hex::encode(hash.finalize()));
            }
            hash.update(&chunk[..count]);
        }
    };
    hashed().map_err(StackError::file("read", path))
}

/// The program that decompresses an archive with `-dc`, by how it begins; `cat` where it is not compressed.
pub(super) fn decompressor(archive: &Path) -> Result<&'static str, StackError> {
    let mut magic = [0; MAGIC_BYTES];
    let read = File::open(archive).and_then(|file| {
        let mut begun = Vec::with_capacity(MAGIC_BYTES);
        file.take(MAGIC_BYTES as u64).read_to_end(&mut begun)?;
        magic[..begun.len()].copy_from_slice(&begun);
        Ok(())
    });
    read.map_err(StackError::file("read", archive))?;
    Ok(program(magic))
}

fn program(magic: [u8; MAGIC_BYTES]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        _ => "cat",
    }
}

/// The environment of an image as its configuration has it.
pub(super) fn env_of(configuration: &oci_spec::image::ImageConfiguration) -> BTreeMap<String, String> {
    let listed = configuration.config().as_ref().and_then(|config| config.env().clone());
    environment(&listed.unwrap_or_default())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_source_is_known_by_what_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("image")).unwrap();
        std::fs::write(path("image/oci-layout"), "{}").unwrap();
        std::fs::create_dir(path("other")).unwrap();
        std::fs::write(path("root.tar"), "").unwrap();
        let of = |name: &str| Source::of(path(name).to_str().unwrap());
        assert_eq!(of("image").unwrap(), Source::Layout(path("image")));
        assert_eq!(of("root.tar").unwrap(), Source::Archive(path("root.tar")));
        assert!(of("other").unwrap_err().to_string().contains("no OCI layout"));
        assert!(of("none.tar").unwrap_err().to_string().contains("no such file"));
        let named = Source::of("registry.example/stacks/cedar:24").unwrap();
        assert_eq!(named, Source::Registry("registry.example/stacks/cedar:24".to_owned()));
        assert!(Source::of("Not A Name").is_err());
    }

    #[test]
    fn compression_is_known_by_the_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for (bytes, program) in [
            (&b"\x1f\x8b\x08"[..], "gzip"),
            (b"\x28\xb5\x2f\xfd\x00\x00\x00", "zstd"),
            (b"\xfd7zXZ\x00", "xz"),
            (b"BZh9", "bzip2"),
            (b"./\x00\x00\x00\x00", "cat"),
            (b"", "cat"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(decompressor(&path).unwrap(), program);
        }
    }
}
