//! Add-ons from the command line, over services that answer at once.

use std::os::unix::fs::PermissionsExt as _;

use crate::{Stage, err, out};

impl Stage {
    /// What a command prints that succeeds.
    async fn said(&self, args: &[&str]) -> String {
        let output = self.dyno(args).await;
        assert!(output.status.success(), "{args:?}: {}", err(&output));
        out(&output)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_data_as_everything_is() {
    let stage = Stage::open().await;
    stage.said(&["create", "example"]).await;
    stage.said(&["addons:create", "postgresql", "--wait", "-a", "example"]).await;
    stage.said(&["addons:create", "redis", "--wait", "-a", "example"]).await;
    let url: String =
        serde_json::from_str(&stage.said(&["redis:credentials", "--json", "-a", "example"]).await).unwrap();
    assert!(url.starts_with("redis://:"), "{url}");
    let all: serde_json::Value =
        serde_json::from_str(&stage.said(&["pg:credentials", "--json", "-a", "example"]).await).unwrap();
    assert_eq!(all[0]["name"], "default");
    let password = all[0]["credentials"][0]["password"].as_str().unwrap();
    let table = stage.said(&["pg:credentials", "-a", "example"]).await;
    assert!(table.contains("default") && !table.contains(password), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_fetched_into_a_file_of_ones_own() {
    let stage = Stage::open().await;
    stage.said(&["create", "example"]).await;
    stage.said(&["addons:create", "postgresql", "--wait", "-a", "example"]).await;
    stage.said(&["pg:backups:capture", "-a", "example"]).await;
    let fetch = ["pg:backups:download", "-a", "example"];
    let file = stage.dir.path().join("latest.dump");
    stage.said(&fetch).await;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "theirs").unwrap();
    let refused = stage.dyno(&fetch).await;
    assert!(err(&refused).contains("latest.dump is there already"), "{}", err(&refused));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
    // What is on the disk of the node is not what was backed up any more.
    let dumps = std::fs::read_dir(stage.dir.path().join("lib/backups")).unwrap();
    for dump in dumps {
        std::fs::write(dump.unwrap().path(), "another").unwrap();
    }
    let broken = stage.dyno(&["pg:backups:download", "-a", "example", "-o", "other.dump"]).await;
    assert!(err(&broken).contains("its SHA-256 is another"), "{}", err(&broken));
    for name in ["other.dump", "other.dump.part", "latest.dump.part"] {
        assert!(!stage.dir.path().join(name).exists(), "{name}");
    }
}
