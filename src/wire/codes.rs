//! Every public code: the router's H, the dyno manager's R, the log service's L (platform reference 4.8, 5.5 and 6).
//!
//! One row per code. The enum, the log fragment, the HTTP status and `docs/codes.md` all come from this table.

use std::borrow::Cow;
use std::fmt;

/// Which part of the platform speaks with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// H: the router, about a request.
    Router,
    /// R: the dyno manager, about a dyno.
    Dyno,
    /// L: the log service, about lines.
    Log,
}

/// How grave the router's line calls it (`at=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Nothing is wrong.
    Info,
    /// The client is to blame.
    Warning,
    /// The app or the platform is to blame.
    Error,
}

impl At {
    /// The word in the line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code.
    pub code: Code,
    /// Its letter and digits.
    pub name: &'static str,
    /// Who speaks.
    pub family: Family,
    /// How grave it is.
    pub at: At,
    /// The HTTP status it answers with; none for other families.
    pub status: Option<u16>,
    /// The published text, without trailing period.
    pub text: &'static str,
    /// What brings it about, for whoever operates the app.
    pub cause: &'static str,
}

macro_rules! codes {
    ($($code:ident $family:ident $at:ident $status:expr, $text:literal, $cause:literal;)*) => {
        /// A public code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $text] $code,)*
        }

        /// The table, one row per code: by family, then ascending.
        pub const TABLE: &[Row] = &[$(Row {
            code: Code::$code,
            name: stringify!($code),
            family: Family::$family,
            at: At::$at,
            status: $status,
            text: $text,
            cause: $cause,
        },)*];
    };
}

codes! {
    H10 Router Error Some(503), "App crashed", "every wanted web dyno has crashed";
    H11 Router Error Some(503), "Backlog too deep", "more requests are in flight than the app's web dynos may hold";
    H12 Router Error Some(503), "Request timeout", "the dyno sent no byte within 30 seconds of the request";
    H13 Router Error Some(503), "Connection closed without response", "the dyno took the connection and closed it before any byte";
    H14 Router Error Some(503), "No web processes running", "the formation wants no web dyno";
    H15 Router Error Some(503), "Idle connection", "the dyno was silent for 55 seconds after its first byte";
    H17 Router Error Some(503), "Poorly formatted HTTP response", "what the dyno sent is not HTTP/1.1";
    H18 Router Error Some(503), "Server Request Interrupted", "the dyno broke the connection in the middle of the exchange";
    H19 Router Error Some(503), "Backend connection timeout", "no dyno that was tried took the connection within 5 seconds";
    H20 Router Error Some(503), "App boot timeout", "no web dyno came up within 75 seconds";
    H21 Router Error Some(503), "Backend connection refused", "every dyno that was tried refused the connection";
    H22 Router Error Some(503), "Connection limit reached", "a dyno has as many connections as it may";
    H24 Router Error Some(503), "Forced close", "the router is being stopped and could wait no longer";
    H25 Router Error Some(502), "HTTP restriction", "the dyno's answer is over a limit; the text goes on with which one";
    H26 Router Error Some(400), "Request Error", "the request is over a limit or not HTTP; the line says which in `cause`";
    H27 Router Warning Some(499), "Client Request Interrupted", "the client closed the connection before the answer was complete";
    H28 Router Warning Some(499), "Client Connection Idle", "the client was silent for 55 seconds in the middle of the exchange";
    H31 Router Error Some(421), "Misdirected Request", "a connection was used for a host that its certificate does not cover";
    H32 Router Error Some(495), "TLS Certificate Mismatch", "the host of the request is not the host of the handshake";
    H80 Router Info Some(503), "Maintenance mode", "maintenance mode is on";
    H81 Router Info Some(503), "Blank app", "the app was never deployed";
    H82 Router Info Some(503), "You've used up all your eco dyno hour pool", "the account's hours are used up";
    H99 Router Error Some(503), "Platform error", "the router itself failed, or no dyno could be reached within 75 seconds";
    L10 Log Error None, "output buffer overflow", "lines came faster than a drain took them";
    L11 Log Error None, "Tail buffer overflow", "lines came faster than a tail session took them";
    L12 Log Error None, "Local buffer overflow", "a dyno wrote faster than its lines were collected";
    L13 Log Error None, "Local delivery error", "lines were lost on their way from the dyno";
    L14 Log Error None, "certificate validation", "a drain's certificate does not hold";
    L15 Log Error None, "Tail buffer temporarily unavailable", "the history of lines cannot be read at the moment";
    R10 Dyno Error None, "Boot timeout", "the web process did not bind to $PORT within 60 seconds of launch";
    R12 Dyno Error None, "Exit timeout", "a process did not exit within 30 seconds of SIGTERM";
    R13 Dyno Error None, "Attach error", "a terminal could not be attached to the process";
    R14 Dyno Error None, "Memory quota exceeded", "the dyno uses more memory than its size grants, and swaps";
    R15 Dyno Error None, "Memory quota vastly exceeded", "the dyno uses far more memory than its size grants, and is killed";
    R16 Dyno Error None, "Detached", "an attached process does not respond to SIGHUP after its connection was closed";
    R17 Dyno Error None, "Checksum error", "the slug is not the one that was released";
    R99 Dyno Error None, "Platform error", "the dyno could not be run for a reason inside the platform";
}

impl Code {
    /// The code's row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        // The enum and the table come from one macro, in one order: the discriminant is the index.
        &TABLE[self as usize]
    }

    /// The letter and digits.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The published text, without trailing period.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().text
    }

    /// The HTTP status of the answer; 500 for a code that belongs to no request.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status.unwrap_or(500)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the dyno manager writes into the log under an R code (platform reference 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoError {
    /// An R code.
    pub code: Code,
    /// The sentence after the arrow; empty where there is none.
    pub sentence: Cow<'static, str>,
}

impl DynoError {
    /// No terminal came.
    pub const ATTACH_ERROR: Self =
        Self { code: Code::R13, sentence: Cow::Borrowed("Failed to attach to process") };
    /// Over the quota.
    pub const MEMORY_QUOTA_EXCEEDED: Self = Self { code: Code::R14, sentence: Cow::Borrowed("") };
    /// Far over the quota.
    pub const MEMORY_QUOTA_VASTLY_EXCEEDED: Self = Self { code: Code::R15, sentence: Cow::Borrowed("") };
    /// The terminal is gone, the process is not.
    pub const DETACHED: Self = Self {
        code: Code::R16,
        sentence: Cow::Borrowed(
            "An attached process is not responding to SIGHUP after its external connection was closed.",
        ),
    };
}

impl DynoError {
    /// The web process did not listen within so many seconds, 60 on the original platform.
    #[must_use]
    pub fn boot_timeout(limit_s: u64) -> Self {
        let sentence = format!("Web process failed to bind to $PORT within {limit_s} seconds of launch");
        Self { code: Code::R10, sentence: sentence.into() }
    }

    /// The slug's files are not those that were released (sic: the platform's own sentence).
    #[must_use]
    pub fn checksum(expected: &str, actual: &str) -> Self {
        let sentence = format!(
            "Checksum does match expected value. Expected: SHA256:{expected} Actual: SHA256:{actual}"
        );
        Self { code: Code::R17, sentence: sentence.into() }
    }

    /// The node could not start the process, for this reason.
    #[must_use]
    pub fn not_started(reason: &str) -> Self {
        Self { code: Code::R99, sentence: format!("Failed to start process: {reason}").into() }
    }

    /// The stop took longer than so many seconds, 30 on the original platform.
    #[must_use]
    pub fn exit_timeout(limit_s: u64) -> Self {
        let sentence = format!("At least one process failed to exit within {limit_s} seconds of SIGTERM");
        Self { code: Code::R12, sentence: sentence.into() }
    }
}

impl fmt::Display for DynoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error {} ({})", self.code, self.code.text())?;
        if self.sentence.is_empty() { Ok(()) } else { write!(f, " -> {}", self.sentence) }
    }
}

/// `docs/codes.md`, whole.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Codes\n\nMade from `src/wire/codes.rs`; `UPDATE=1 cargo test --test codes` writes it anew.\n",
    );
    let families = [
        (Family::Router, "H: the router, in the app's log as `heroku[router]`"),
        (Family::Log, "L: the log service"),
        (Family::Dyno, "R: the dyno manager, in the app's log as `heroku[<dyno>]`"),
    ];
    for (family, heading) in families {
        text.push_str(&format!(
            "\n## {heading}\n\n| code | text | at | status | when |\n| --- | --- | --- | --- | --- |\n"
        ));
        for row in TABLE.iter().filter(|row| row.family == family) {
            let status = row.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            text.push_str(&format!(
                "| {} | {} | {} | {} | {} |\n",
                row.name,
                row.text,
                row.at.as_str(),
                status,
                row.cause
            ));
        }
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(TABLE.iter().enumerate().all(|(index, row)| row.code as usize == index));
    }

    #[test]
    fn the_letter_tells_the_family_and_the_family_who_has_a_status() {
        for row in TABLE {
            let letter = match row.family {
                Family::Router => 'H',
                Family::Dyno => 'R',
                Family::Log => 'L',
            };
            assert!(row.name.starts_with(letter) && row.name.len() == 3, "{}", row.name);
            assert_eq!(row.status.is_some(), row.family == Family::Router, "{}", row.name);
            assert!(row.status.is_none_or(|status| (400..600).contains(&status)), "{}", row.name);
            assert_eq!(row.at == At::Warning, row.status == Some(499), "{}: clients get 499", row.name);
        }
    }

    #[test]
    fn texts_are_clauses() {
        for row in TABLE {
            for text in [row.text, row.cause] {
                assert!(!text.is_empty() && !text.ends_with('.') && text.trim() == text, "{}", row.name);
            }
        }
    }

    #[test]
    fn the_dyno_managers_errors_are_the_published_ones() {
        insta::assert_snapshot!(
            [
                DynoError::boot_timeout(60),
                DynoError::exit_timeout(30),
                DynoError::ATTACH_ERROR,
                DynoError::MEMORY_QUOTA_EXCEEDED,
                DynoError::MEMORY_QUOTA_VASTLY_EXCEEDED,
                DynoError::DETACHED,
                DynoError::checksum("0a1b", "2c3d"),
                DynoError::not_started("no address is free"),
            ]
            .map(|error| error.to_string())
            .join("\n"),
            @r"
        Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch
        Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM
        Error R13 (Attach error) -> Failed to attach to process
        Error R14 (Memory quota exceeded)
        Error R15 (Memory quota vastly exceeded)
        Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.
        Error R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:0a1b Actual: SHA256:2c3d
        Error R99 (Platform error) -> Failed to start process: no address is free
        "
        );
    }
}
