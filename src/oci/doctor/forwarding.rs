//! Whether another program's packet filter drops what containers send: one that we may not change, so the user must.

use std::process::Command;

use serde::Deserialize;

use super::{Finding, Verdict};

/// What `nft --json list chains` prints (libnftables-json(5)), as far as it matters here.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    chain: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

/// What was found; nothing where `nft` is missing or may not be asked, which other findings tell.
pub(super) fn finding() -> Option<Finding> {
    let listed = Command::new("nft").args(["--json", "list", "chains"]).output().ok()?;
    let listing = serde_json::from_slice::<Listing>(&listed.stdout).ok()?;
    Some(judge(&listing))
}

fn judge(listing: &Listing) -> Finding {
    let subject = "forwarding";
    let chains = listing.nftables.iter().filter_map(|entry| entry.chain.as_ref());
    let mut dropping = chains.filter(|chain| {
        chain.hook.as_deref() == Some("forward")
            && chain.policy.as_deref() == Some("drop")
            && matches!(chain.family.as_str(), "ip" | "inet")
    });
    let Some(Chain { family, table, name, .. }) = dropping.next() else {
        return Finding::ok(subject, "no other filter drops what containers send");
    };
    let rule = |direction| format!("nft insert rule {family} {table} {name} {direction} \"dy*\" accept");
    Finding {
        subject,
        verdict: Verdict::Warn,
        seen: format!("the chain {name} of table {family} {table} drops what no rule accepts"),
        advice: format!(
            "dynos have no way out until it accepts them: {}; {}",
            rule("iifname"),
            rule("oifname")
        ),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn judged(chain: &str) -> Finding {
        let text = format!(r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6"}}}},{{"chain":{chain}}}]}}"#);
        judge(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_filter_that_drops_by_policy_is_named_with_what_to_do() {
        let docker = r#"{"family":"ip","table":"filter","name":"FORWARD","handle":2,"type":"filter","hook":"forward","prio":0,"policy":"drop"}"#;
        let finding = judged(docker);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.advice.contains("nft insert rule ip filter FORWARD iifname"), "{finding}");
    }

    #[test]
    fn other_chains_are_no_matter() {
        for chain in [
            r#"{"family":"ip","table":"filter","name":"FORWARD","hook":"forward","policy":"accept"}"#,
            r#"{"family":"ip","table":"filter","name":"INPUT","hook":"input","policy":"drop"}"#,
            r#"{"family":"ip6","table":"filter","name":"FORWARD","hook":"forward","policy":"drop"}"#,
            r#"{"family":"inet","table":"dyno0","name":"to_host"}"#,
        ] {
            assert_eq!(judged(chain).verdict, Verdict::Ok, "{chain}");
        }
    }
}
