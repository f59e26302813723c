//! The node's nftables table: written whole in one transaction, by feeding `nft` once at start-up; containers that come and go
//! change nothing in it, since every rule speaks of our links by their name's beginning.
//!
//! A packet another table has dropped never gets here, and one we accept can still be dropped by another: the table
//! narrows, and overrides nobody. Base chains stand a little before the usual priorities, NAT at the usual one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddrV4};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::passages::PASSAGES_MAX;
use super::{Ipv4Net, NetworkError};

/// The longest one call of `nft` may take, in seconds.
const NFT_TIMEOUT_S: u64 = 20;
/// Where Debian has it; `PATH` of a service may lack the directory.
const NFT_PATHS: &[&str] = &["nft", "/usr/sbin/nft", "/sbin/nft"];
/// What our table's comment begins with; behind it stand the settings as they were before any node changed them.
const COMMENT: &str = "forwarding";

/// Destinations no container reaches: this network, private, shared (CGNAT), loopback, link-local with the cloud's metadata
/// service, the one of Azure that has a public address, protocol assignments, benchmarking, multicast, reserved and broadcast (RFC 6890).
const REFUSED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// Connections that one container may have at once: all of the host share the kernel's one table of them.
const CONNECTIONS_MAX: u32 = 8192;
/// Addresses of containers whose connections are counted.
const CONTAINERS_MAX: u32 = 65_536;

/// What the table depends on.
pub(super) struct Rules<'a> {
    pub(super) index: u32,
    pub(super) range: Ipv4Net,
    pub(super) resolvers: &'a [IpAddr],
    pub(super) egress: &'a [SocketAddrV4],
    /// `forwarding` of each uplink before any node changed it.
    pub(super) former: &'a BTreeMap<String, String>,
}

impl Rules<'_> {
    /// The table as `nft -f` takes it. Naming it before deleting it makes the deletion valid where there is none.
    pub(super) fn text(&self) -> String {
        let table = table(self.index);
        let ours = format!("\"dy{}-*\"", self.index);
        let every_node = "\"dy*\"";
        let resolvers =
            set(self.resolvers.iter().filter(|address| address.is_ipv4()).map(ToString::to_string));
        let egress = set(self.egress.iter().map(|to| format!("{} . {}", to.ip(), to.port())));
        let refused = set(REFUSED.iter().map(|range| (*range).to_owned()));
        let comment: String = self.former.iter().fold(COMMENT.to_owned(), |mut text, (link, value)| {
            // Writing to a string cannot fail.
            let _ = write!(text, " {link}={value}");
            text
        });
        let shut = self.shut(every_node);
        let range = self.range;
        format!(
            r#"table {table}
delete table {table}
table {table} {{
    comment "{comment}"
    set resolvers {{ type ipv4_addr; {resolvers}}}
    set egress {{ type ipv4_addr . inet_service; {egress}}}
    set refused {{ type ipv4_addr; flags interval; {refused}}}
    set passages {{ type ipv4_addr . ipv4_addr . inet_service; size {PASSAGES_MAX}; }}
    set sealed {{ type ipv4_addr; size {CONTAINERS_MAX}; }}
    set connections {{ type ipv4_addr; size {CONTAINERS_MAX}; flags dynamic; }}
    chain source {{
        type filter hook prerouting priority raw - 5; policy accept;
        iifname {ours} meta nfproto != ipv4 drop
        iifname {ours} ip saddr != {range} drop
        iifname {ours} fib saddr . iif oif missing drop
    }}
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname {ours} jump to_host
    }}
    chain to_host {{
        ip saddr @sealed drop
        ct state new add @connections {{ ip saddr ct count over {CONNECTIONS_MAX} }} drop
        ip daddr @resolvers udp dport 53 accept
        ip daddr @resolvers tcp dport 53 accept
        drop
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        iifname {ours} jump from_container
        oifname {ours} jump to_container
{shut}    }}
    chain from_container {{
        ct state new add @connections {{ ip saddr ct count over {CONNECTIONS_MAX} }} drop
        oifname {ours} ip saddr . ip daddr . tcp dport @passages accept
        oifname {ours} ct state established ct direction reply ip daddr . ip saddr . tcp sport @passages accept
        ip saddr @sealed drop
        oifname {every_node} drop
        ip daddr @resolvers udp dport 53 accept
        ip daddr @resolvers tcp dport 53 accept
        ip daddr . tcp dport @egress accept
        ip daddr @refused drop
        accept
    }}
    chain to_container {{
        ct state established,related accept
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {range} oifname != {every_node} masquerade
    }}
}}
"#
        )
    }

    /// Uplinks that forwarded nothing before: what is not for a container is still not forwarded.
    fn shut(&self, every_node: &str) -> String {
        let shut = self.former.iter().filter(|(_, value)| value.as_str() == "0");
        shut.fold(String::new(), |mut text, (link, _)| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "        iifname \"{link}\" oifname != {every_node} drop");
            text
        })
    }

    /// Puts the table in place of the former one.
    pub(super) async fn install(&self) -> Result<(), NetworkError> {
        nft(&["-f", "-"], &self.text()).await.map(drop)
    }
}

/// Has `nft` do this, whole or not at all.
pub(super) async fn change(text: &str) -> Result<(), NetworkError> {
    nft(&["-f", "-"], text).await.map(drop)
}

/// Removes the table of a node, if there is one.
pub(super) async fn remove(index: u32) -> Result<(), NetworkError> {
    let table = table(index);
    nft(&["-f", "-"], &format!("table {table}\ndelete table {table}\n")).await.map(drop)
}

/// What the tables of other nodes tell about settings before any node changed them; `None` where there is no other node.
pub(super) async fn settings_of_others(index: u32) -> Result<Option<BTreeMap<String, String>>, NetworkError> {
    let tables = nft(&["list", "tables", "inet"], "").await?;
    let own = table(index);
    let mut settings = None;
    for other in tables.lines().filter_map(|line| node_table(line.strip_prefix("table ")?)) {
        if other == own {
            continue;
        }
        // It may be gone by now: then it has nothing to tell.
        let Ok(text) = nft(&["-t", "list", "table", "inet", other.trim_start_matches("inet ")], "").await
        else {
            continue;
        };
        settings.get_or_insert_with(BTreeMap::new).extend(former_settings(&text));
    }
    Ok(settings)
}

pub(super) fn table(index: u32) -> String {
    format!("inet dyno{index}")
}

/// The name, if it is one a node gives its table.
fn node_table(name: &str) -> Option<&str> {
    let number = name.trim().strip_prefix("inet dyno")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.trim())
}

/// Reads the comment back from what `nft list table` prints.
fn former_settings(text: &str) -> BTreeMap<String, String> {
    let comment = |line: &str| -> Option<String> {
        let words = line.trim().strip_prefix("comment \"")?.strip_suffix('"')?.strip_prefix(COMMENT)?;
        Some(words.to_owned())
    };
    let words = text.lines().find_map(comment).unwrap_or_default();
    let pair = |word: &str| word.split_once('=').map(|(link, value)| (link.to_owned(), value.to_owned()));
    words.split_whitespace().filter_map(pair).collect()
}

/// The elements of a set; nothing where there are none, since `nft` takes no empty list.
fn set(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<_> = elements.collect();
    if elements.is_empty() { String::new() } else { format!("elements = {{ {} }} ", elements.join(", ")) }
}

/// Runs `nft` with `input`, and returns what it printed.
async fn nft(arguments: &[&str], input: &str) -> Result<String, NetworkError> {
    let mut child = start(arguments)?;
    let failed = |source| NetworkError::Nft { text: String::new(), source: Some(source) };
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.map_err(failed)?;
        }
        child.wait_with_output().await.map_err(failed)
    };
    let output = tokio::time::timeout(Duration::from_secs(NFT_TIMEOUT_S), work).await.map_err(|_| {
        NetworkError::Nft { text: format!("no answer within {NFT_TIMEOUT_S} s"), source: None }
    })??;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(NetworkError::Nft { text, source: None });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn start(arguments: &[&str]) -> Result<tokio::process::Child, NetworkError> {
    for program in NFT_PATHS {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.kill_on_drop(true).spawn() {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(NetworkError::Nft { text: String::new(), source: Some(source) }),
        }
    }
    Err(NetworkError::NftMissing)
}

#[cfg(test)]
mod test {
    use super::*;

    fn rules<'a>(resolvers: &'a [IpAddr], former: &'a BTreeMap<String, String>) -> Rules<'a> {
        Rules { index: 3, range: Ipv4Net::default_of(3), resolvers, egress: &[], former }
    }

    #[test]
    fn resolvers_are_let_through_before_private_ranges_are_refused() {
        let resolvers = ["10.0.0.53".parse().unwrap(), "fd00::1".parse().unwrap()];
        let text = rules(&resolvers, &BTreeMap::new()).text();
        assert!(text.contains("set resolvers { type ipv4_addr; elements = { 10.0.0.53 } }"), "{text}");
        let at = |what: &str| text.rfind(what).unwrap();
        assert!(at("udp dport 53 accept") < at("ip daddr @refused drop"));
        assert!(
            at("oifname \"dy*\" drop") < at("ip daddr @resolvers"),
            "no way to other containers through the exemption"
        );
    }

    #[test]
    fn passages_come_before_other_containers_are_refused_and_lead_to_our_own_alone() {
        let text = rules(&[], &BTreeMap::new()).text();
        let refused = text.find("oifname \"dy*\" drop").unwrap();
        let passages: Vec<_> = text.match_indices("@passages accept").map(|(at, _)| at).collect();
        assert_eq!(passages.len(), 2);
        assert!(passages.iter().all(|at| *at < refused), "{text}");
        assert_eq!(text.matches("oifname \"dy3-*\" ").count(), 3, "the two and what comes in: {text}");
    }

    #[test]
    fn who_is_sealed_answers_over_passages_and_begins_nothing() {
        let text = rules(&[], &BTreeMap::new()).text();
        let forward = &text[text.find("chain from_container").unwrap()..];
        let at = |what: &str| forward.find(what).unwrap();
        assert!(at("sport @passages accept") < at("@sealed drop") && at("@sealed drop") < at("@resolvers"));
        let host = &text[text.find("chain to_host").unwrap()..];
        assert!(host.find("@sealed drop").unwrap() < host.find("accept").unwrap(), "{text}");
    }

    #[test]
    fn only_uplinks_that_did_not_forward_are_kept_shut() {
        let former =
            [("eth0", "0"), ("eth1", "1")].map(|(link, value)| (link.to_owned(), value.to_owned())).into();
        let text = rules(&[], &former).text();
        assert!(text.contains("iifname \"eth0\" oifname != \"dy*\" drop"));
        assert!(!text.contains("iifname \"eth1\""));
        assert!(!text.contains("elements = {  }"));
    }

    #[test]
    fn the_comment_carries_former_settings_to_other_nodes() {
        let former: BTreeMap<_, _> = [("eth0".to_owned(), "0".to_owned())].into();
        assert_eq!(former_settings(&rules(&[], &former).text()), former);
        assert_eq!(former_settings("table inet dyno1 {\n\tcomment \"hello\"\n}"), BTreeMap::new());
    }

    #[test]
    fn only_tables_of_nodes_are_taken_for_such() {
        assert_eq!(node_table("inet dyno7"), Some("inet dyno7"));
        for other in ["inet dyno", "inet dynos", "ip dyno1", "inet filter"] {
            assert_eq!(node_table(other), None, "{other}");
        }
    }
}
