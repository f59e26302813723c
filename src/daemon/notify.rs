//! Telling a service manager how the node fares (sd_notify(3)), where there is one.

use std::os::unix::net::UnixDatagram;

/// The node answers.
pub(super) fn ready() {
    say("READY=1");
}

/// The node is about to end.
pub(super) fn stopping() {
    say("STOPPING=1");
}

fn say(word: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(word.as_bytes(), path));
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot tell the service manager {word}");
    }
}
