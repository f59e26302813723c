//! What is told of certificates that the node gets by itself: the platform's words, and reasons that name what to do.

use crate::domain::{FaultKind, OrderFault, OrderProgress};

/// The status of a domain whose certificate is in force.
pub const ISSUED: &str = "cert issued";
/// The status of a domain whose order is not tried again.
pub const FAILED: &str = "failed";
/// The status of a domain whose order failed, and is tried again.
pub const FAILING: &str = "failing";
/// Why nothing is ordered for a domain.
pub const BROUGHT: &str = "Shows the certificate that was added for it";

/// The word for how far an order is (platform reference 7.4).
#[must_use]
pub fn status(progress: OrderProgress) -> &'static str {
    match progress {
        OrderProgress::Pending => "pending",
        OrderProgress::UnderWay => "verified",
        OrderProgress::InForce => ISSUED,
        OrderProgress::Failing => FAILING,
        OrderProgress::Failed => FAILED,
    }
}

/// A word as people read it.
#[must_use]
pub fn shown(status: Option<&str>) -> &str {
    match status {
        None => "Waiting",
        Some("pending") => "Pending",
        Some("verified") => "In Progress",
        Some(ISSUED) => "Cert issued",
        Some(FAILING) => "Failing",
        Some(FAILED) => "Failed",
        Some(other) => other,
    }
}

/// Why an order failed, and what to do about it; what the authority says comes last.
#[must_use]
pub fn reason(fault: &OrderFault) -> String {
    let told = match fault.kind {
        FaultKind::Wildcard => {
            "Wildcards take a proof by DNS, which this node does not give: add a certificate with certs:add"
        }
        FaultKind::Name => "The name leads nowhere: give it an A or AAAA record of this machine's address",
        FaultKind::NoHttp => {
            "The authority does not reach the name on port 80: point its DNS record at this machine, and open the port"
        }
        FaultKind::NoTls => {
            "The authority does not reach the name under TLS on port 443: point its DNS record at this machine, and open the port"
        }
        FaultKind::WrongAnswer => {
            "Another server answers for the name: point its DNS records, A and AAAA, at this machine"
        }
        FaultKind::Caa => "A CAA record of the name forbids it: add one that names the authority",
        FaultKind::RateLimited => "The authority was asked too often: it is tried again when it allows",
        FaultKind::Rejected => {
            "The authority gives no certificate for this name: add one of another authority with certs:add"
        }
        FaultKind::Account => {
            "The authority does not take the node's account: its administrator looks at [acme] of the configuration"
        }
        FaultKind::Authority => "The authority fails, or is not reached: it is tried again",
        FaultKind::Full => "The app has as many certificates as it may: remove one with certs:remove",
    };
    if fault.detail.is_empty() { told.to_owned() } else { format!("{told}. It says: {}", fault.detail) }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_reason_says_what_to_do_and_then_what_was_said() {
        let fault = OrderFault::new(FaultKind::Caa, "CAA record forbids issuance");
        let told = reason(&fault);
        assert!(told.starts_with("A CAA record of the name forbids it: add one"), "{told}");
        assert!(told.ends_with(". It says: CAA record forbids issuance"), "{told}");
        assert!(!reason(&OrderFault::new(FaultKind::Wildcard, "")).contains("It says"));
    }

    #[test]
    fn words_are_the_platforms() {
        for (progress, word, read) in [
            (OrderProgress::Pending, "pending", "Pending"),
            (OrderProgress::UnderWay, "verified", "In Progress"),
            (OrderProgress::InForce, "cert issued", "Cert issued"),
            (OrderProgress::Failing, "failing", "Failing"),
            (OrderProgress::Failed, "failed", "Failed"),
        ] {
            assert_eq!((status(progress), shown(Some(word))), (word, read));
        }
        assert_eq!(shown(None), "Waiting");
    }
}
