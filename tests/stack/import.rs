//! Stacks made of images: an archive, a layout, a registry; and images that would write where they have no business.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dyno::stack::{self, Import, Outcome, Stack, StackError};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use sha2::{Digest, Sha256};

use crate::{support, until};

/// A static shell (package busybox-static).
const BUSYBOX: &str = "/bin/busybox";
/// The registry of Debian's package of that name.
const REGISTRY: &str = "/usr/bin/docker-registry";
/// How long it may take to answer.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(20);
const TAR_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin","FROM_IMAGE=yes"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;

/// Root, a static shell, or a recorded skip.
fn can_run(test: &str) -> bool {
    if !support::skip::is_root_or_skip(test) {
        return false;
    }
    let has_shell = Path::new(BUSYBOX).exists();
    if !has_shell {
        support::skip::skip(test, "needs the package busybox-static");
    }
    has_shell
}

/// A place with two layers of an image: the second deletes and replaces, and tries to leave through links of the first.
struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    fn new() -> Self {
        let image = Self { dir: tempfile::tempdir().unwrap() };
        let (first, second) = (image.at("first"), image.at("second"));
        for dir in ["bin", "etc", "gone", "opaque"] {
            fs::create_dir_all(first.join(dir)).unwrap();
        }
        fs::create_dir(image.at("outside")).unwrap();
        fs::copy(BUSYBOX, first.join("bin/busybox")).unwrap();
        fs::write(first.join("bin/bash"), "#!/bin/busybox sh\nexec /bin/busybox sh \"$@\"\n").unwrap();
        fs::set_permissions(first.join("bin/bash"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(first.join("bin/busybox"), fs::Permissions::from_mode(0o4755)).unwrap();
        for file in ["gone/file", "opaque/below", "etc/kept", "etc/removed"] {
            fs::write(first.join(file), file).unwrap();
        }
        symlink(image.at("outside"), first.join("way-out")).unwrap();
        symlink("../../../../../../../../tmp", first.join("way-up")).unwrap();
        symlink("/etc/shadow", first.join("etc/passwd")).unwrap();
        for dir in ["etc", "opaque"] {
            fs::create_dir_all(second.join(dir)).unwrap();
        }
        for file in [".wh.gone", "etc/.wh.removed", "opaque/.wh..wh..opq", "opaque/above"] {
            fs::write(second.join(file), "").unwrap();
        }
        fs::create_dir_all(image.at("evil/way-out")).unwrap();
        fs::write(image.at("evil/way-out/planted"), "").unwrap();
        image.pack("first", "first.tgz", &["."]);
        image.pack("second", "second.tgz", &["."]);
        // Members that a directory of the same name would not make: through the links of the layer below, and upwards.
        image.pack(
            "evil",
            "evil.tgz",
            &["--transform=s,^planted,way-out/planted,", "-C", "way-out", "planted"],
        );
        image
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pack(&self, from: &str, to: &str, members: &[&str]) {
        let packed = Command::new("tar")
            .arg("-czf")
            .arg(self.at(to))
            .arg("-C")
            .arg(self.at(from))
            .args(members)
            .status();
        assert!(packed.unwrap().success());
    }

    fn lib(&self) -> PathBuf {
        self.at("lib")
    }

    fn import(&self, source: &str) -> Result<(Stack, Outcome), StackError> {
        let order = Import {
            name: "mine".parse().unwrap(),
            compat: Some("heroku-24".to_owned()),
            run: source.to_owned(),
            build: None,
        };
        stack::import(&order, &self.lib(), &mut stack::Silent)
    }

    fn import_path(&self, name: &str) -> Result<(Stack, Outcome), StackError> {
        self.import(self.at(name).to_str().unwrap())
    }

    /// Writes the layers as an OCI layout.
    fn lay_out(&self, layers: &[&str]) {
        let blobs = self.at("layout/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |kind: &str, bytes: &[u8]| {
            let hex = hex::encode(Sha256::digest(bytes));
            fs::write(blobs.join(&hex), bytes).unwrap();
            format!(r#"{{"mediaType":"{kind}","digest":"sha256:{hex}","size":{}}}"#, bytes.len())
        };
        let config = put("application/vnd.oci.image.config.v1+json", CONFIG.as_bytes());
        let layers: Vec<_> =
            layers.iter().map(|layer| put(TAR_TYPE, &fs::read(self.at(layer)).unwrap())).collect();
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
        let manifest = put("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        fs::write(self.at("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
        fs::write(self.at("layout/index.json"), index).unwrap();
    }

    /// What a stack of both layers must look like.
    fn assert_made(&self, stack: &Stack) {
        let run = &stack.run_layers()[0];
        assert_eq!(fs::read_to_string(run.join("etc/kept")).unwrap(), "etc/kept");
        for gone in ["gone", "etc/removed", "opaque/below", ".wh.gone", "opaque/.wh..wh..opq"] {
            assert!(fs::symlink_metadata(run.join(gone)).is_err(), "{gone}");
        }
        assert!(run.join("opaque/above").exists());
        assert_eq!((stack.compat.as_str(), stack.env["FROM_IMAGE"].as_str()), ("heroku-24", "yes"));
        assert_eq!(stack::present(&self.lib()), ["mine".parse().unwrap()]);
    }

    fn assert_nothing_left(&self) {
        let left = fs::read_dir(self.lib().join("stacks")).unwrap().flatten();
        let left: Vec<_> =
            left.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".building")).collect();
        assert!(left.is_empty(), "{left:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()));
    }
}

#[test]
fn a_root_file_system_becomes_a_stack() {
    if !can_run("a_root_file_system_becomes_a_stack") {
        return;
    }
    let image = Image::new();
    let (stack, outcome) = image.import_path("first.tgz").unwrap();
    assert_eq!(outcome, Outcome::Built);
    let run = &stack.run_layers()[0];
    for dir in ["app", "tmp", "proc", "sys", "dev/shm", "run", "etc/heroku"] {
        assert!(run.join(dir).is_dir(), "{dir}");
    }
    let mode = fs::metadata(run.join("bin/busybox")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "no program gains rights");
    let passwd = fs::read_to_string(run.join("etc/passwd")).unwrap();
    assert_eq!(
        passwd, "heroku:x:1000:1000::/app:/bin/bash\n",
        "a link to a file of the host is not followed"
    );
    assert_eq!(
        support::inside::enter(
            &stack.build_layers(),
            support::inside::Reach::Nothing,
            &[],
            "echo $((6 * 7))"
        ),
        "42\n"
    );
    let (again, outcome) = image.import_path("first.tgz").unwrap();
    assert_eq!((again.version, outcome), (stack.version, Outcome::AlreadyBuilt));
    image.assert_nothing_left();
}

#[test]
fn a_layout_becomes_a_stack_layer_by_layer() {
    if !can_run("a_layout_becomes_a_stack_layer_by_layer") {
        return;
    }
    let image = Image::new();
    image.lay_out(&["first.tgz", "second.tgz"]);
    let (stack, _) = image.import_path("layout").unwrap();
    image.assert_made(&stack);
    image.assert_nothing_left();
}

#[test]
fn nothing_is_written_outside_of_the_stack() {
    if !can_run("nothing_is_written_outside_of_the_stack") {
        return;
    }
    let image = Image::new();
    image.lay_out(&["first.tgz", "evil.tgz"]);
    // Whether the layer is refused or its link replaced: what the link leads to stays as it is.
    let _either = image.import_path("layout");
    assert_eq!(fs::read_dir(image.at("outside")).unwrap().count(), 0);
    image.assert_nothing_left();
}

#[test]
fn nothing_of_an_image_is_run_while_it_is_unpacked() {
    if !can_run("nothing_of_an_image_is_run_while_it_is_unpacked") {
        return;
    }
    let image = Image::new();
    // A link of one layer leads out of the image, a path of the next through it to what unpacks the third.
    fs::create_dir_all(image.at("link")).unwrap();
    symlink("..", image.at("link/esc")).unwrap();
    image.pack("link", "link.tgz", &["esc"]);
    fs::create_dir_all(image.at("scripts/esc")).unwrap();
    let script = format!("echo run >{}/marker; echo run >/image/marker", image.at("outside").display());
    for name in ["unpack.sh", "whiteouts.sh", "finish.sh"] {
        fs::write(image.at("scripts/esc").join(name), &script).unwrap();
    }
    image.pack("scripts", "scripts.tgz", &["esc/unpack.sh", "esc/whiteouts.sh", "esc/finish.sh"]);
    image.lay_out(&["first.tgz", "link.tgz", "scripts.tgz", "second.tgz"]);
    let refused = image.import_path("layout").unwrap_err().to_string();
    assert!(refused.contains("cannot be unpacked"), "{refused}");
    assert_eq!(fs::read_dir(image.at("outside")).unwrap().count(), 0);
    image.assert_nothing_left();
}

#[test]
fn an_image_that_cannot_be_a_stack_is_refused_and_leaves_none() {
    if !can_run("an_image_that_cannot_be_a_stack_is_refused_and_leaves_none") {
        return;
    }
    let image = Image::new();
    fs::write(image.at("broken.tar"), "no archive at all").unwrap();
    let refused = |name: &str| image.import_path(name).unwrap_err().to_string();
    assert!(refused("broken.tar").contains("cannot be unpacked"));
    assert!(refused("second.tgz").contains("no bash"));
    assert!(refused("none.tar").contains("no such file"));
    assert!(stack::present(&image.lib()).is_empty());
    image.assert_nothing_left();
}

/// A registry that ends with the test.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Registry {
    fn start(dir: &Path, port: u16) -> Self {
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            dir.join("registry").display()
        );
        fs::write(&config, text).unwrap();
        let child = Command::new(program())
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self(child);
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(until(REGISTRY_TIMEOUT, answers), "the registry answers");
        registry
    }
}

/// Debian's registry, or the one that `$DYNO_TEST_REGISTRY` names.
fn program() -> PathBuf {
    std::env::var_os("DYNO_TEST_REGISTRY").map_or_else(|| REGISTRY.into(), PathBuf::from)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn push(image: &Image, name: &Reference) {
    let client = Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
    let layers: Vec<_> = ["first.tgz", "second.tgz"]
        .iter()
        .map(|layer| ImageLayer::new(fs::read(image.at(layer)).unwrap(), TAR_TYPE.to_owned(), None))
        .collect();
    let config =
        Config::new(CONFIG.as_bytes().to_vec(), "application/vnd.oci.image.config.v1+json".to_owned(), None);
    let manifest = OciImageManifest::build(&layers, &config, None);
    client.push(name, &layers, config, &RegistryAuth::Anonymous, Some(manifest)).await.unwrap();
}

#[test]
fn an_image_of_a_registry_becomes_a_stack() {
    let name = "an_image_of_a_registry_becomes_a_stack";
    if !can_run(name) {
        return;
    }
    if !program().exists() {
        support::skip::skip(name, "needs the package docker-registry");
        return;
    }
    let image = Image::new();
    let port = free_port();
    let _registry = Registry::start(image.dir.path(), port);
    let reference = format!("127.0.0.1:{port}/stacks/mine:1");
    let _there_already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(push(&image, &reference.parse().unwrap()));
    let (stack, _) = image.import(&reference).unwrap();
    image.assert_made(&stack);
    let none = image.import(&format!("127.0.0.1:{port}/stacks/none:1")).unwrap_err().to_string();
    assert!(none.contains("does not give its manifest"), "{none}");
    image.assert_nothing_left();
}
