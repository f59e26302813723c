//! The router's line in an app's log, in the form of Router 2.0 (platform reference 4.10). Field order is the contract.

use std::borrow::Cow;
use std::fmt;

use crate::domain::DynoName;
use crate::wire::codes::{At, Code};

/// The longest path that is shown, bytes; the rest is cut.
pub const PATH_BYTES_MAX: usize = 4096;

/// Whose connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// The client's.
    Client,
    /// The dyno's.
    Backend,
}

impl Socket {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// An H code.
    pub code: Code,
    /// Whose connection is to blame, where one is.
    pub sock: Option<Socket>,
    /// What the code's text goes on with, where it does: `oversized cookie`.
    pub detail: Option<&'static str>,
    /// Why, where the code alone does not tell: `bad header`.
    pub cause: Option<&'static str>,
}

impl From<Code> for Trouble {
    fn from(code: Code) -> Self {
        Self { code, sock: None, detail: None, cause: None }
    }
}

/// The protocol the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// The encryption of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// None.
    Plain,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Encryption {
    /// The end of the line.
    fn fields(self) -> &'static str {
        match self {
            Self::Plain => "tls=false",
            Self::Tls12 => "tls=true tls_version=tls1.2",
            Self::Tls13 => "tls=true tls_version=tls1.3",
        }
    }
}

/// One request, told when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterLine<'a> {
    /// What went wrong; none for a request that was served.
    pub trouble: Option<Trouble>,
    /// Method.
    pub method: &'a str,
    /// Path and query, raw.
    pub path: &'a str,
    /// `Host` as sent.
    pub host: Cow<'a, str>,
    /// The request's identity.
    pub request_id: Cow<'a, str>,
    /// `X-Forwarded-For` as sent on.
    pub fwd: Cow<'a, str>,
    /// The dyno that was chosen.
    pub dyno: Option<Cow<'a, DynoName>>,
    /// Time to connect to the dyno, milliseconds; 0 for a connection that was kept.
    pub connect_ms: Option<u64>,
    /// Time from the connect to the end of the answer, milliseconds.
    pub service_ms: Option<u64>,
    /// Status as sent to the client; 499 where the client has gone.
    pub status: u16,
    /// Bytes of the body sent to the client.
    pub bytes: Option<u64>,
    /// The client's protocol.
    pub protocol: Protocol,
    /// How the client's connection is encrypted.
    pub encryption: Encryption,
    /// `User-Agent` as sent, where it is told: of a client that used a connection for the wrong host.
    pub agent: Option<Cow<'a, str>>,
}

impl fmt::Display for RouterLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trouble {
            None => write_all(f, &["at=", At::Info.as_str()])?,
            Some(trouble) => write_trouble(f, trouble)?,
        }
        write_all(f, &[" method=", self.method, " path=\""])?;
        write_quoted(f, cut(self.path))?;
        f.write_str("\" host=")?;
        write_bare(f, &self.host)?;
        write_all(f, &[" request_id=", &self.request_id, " fwd=\""])?;
        write_quoted(f, &self.fwd)?;
        f.write_str("\" dyno=")?;
        if let Some(dyno) = &self.dyno {
            write!(f, "{dyno}")?;
        }
        f.write_str(" connect=")?;
        write_ms(f, self.connect_ms)?;
        f.write_str(" service=")?;
        write_ms(f, self.service_ms)?;
        write!(f, " status={} bytes=", self.status)?;
        if let Some(bytes) = self.bytes {
            write!(f, "{bytes}")?;
        }
        let protocol = match self.protocol {
            Protocol::Http10 => "http1.0",
            Protocol::Http11 => "http1.1",
            Protocol::Http2 => "http2.0",
        };
        write_all(f, &[" protocol=", protocol, " ", self.encryption.fields()])?;
        if let Some(agent) = &self.agent {
            f.write_str(" agent=\"")?;
            write_quoted(f, cut(agent))?;
            f.write_str("\"")?;
        }
        Ok(())
    }
}

/// Texts one after another: a line is made for every request, and what is text already needs no formatting.
fn write_all(f: &mut fmt::Formatter<'_>, texts: &[&str]) -> fmt::Result {
    texts.iter().try_for_each(|text| f.write_str(text))
}

fn write_trouble(f: &mut fmt::Formatter<'_>, trouble: &Trouble) -> fmt::Result {
    if let Some(sock) = trouble.sock {
        write!(f, "sock={} ", sock.as_str())?;
    }
    let row = trouble.code.row();
    write!(f, "at={} code={} desc=\"{}", row.at.as_str(), row.name, row.text)?;
    if let Some(detail) = trouble.detail {
        write!(f, ": {detail}")?;
    }
    f.write_str("\"")?;
    match trouble.cause {
        Some(cause) => write!(f, " cause=\"{cause}\""),
        None => Ok(()),
    }
}

fn write_ms(f: &mut fmt::Formatter<'_>, ms: Option<u64>) -> fmt::Result {
    match ms {
        Some(ms) => write!(f, "{ms}ms"),
        None => Ok(()),
    }
}

/// Quotes and control characters would let a client write fields or lines of its own.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.bytes().all(|byte| is_plain(byte) || byte == b' ') {
        return f.write_str(text);
    }
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c.is_control()) {
        f.write_str(&rest[..at])?;
        let mut after = rest[at..].chars();
        if let Some(c) = after.next() {
            if c == '"' || c == '\\' { write!(f, "\\{c}")? } else { write!(f, "\\x{:02x}", u32::from(c))? }
        }
        rest = after.as_str();
    }
    f.write_str(rest)
}

/// As [`write_quoted`], for a field that stands without quotes: a space would end it.
fn write_bare(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.bytes().all(|byte| is_plain(byte) && byte != b'=') {
        return f.write_str(text);
    }
    if text.contains([' ', '"', '=']) {
        f.write_str("\"")?;
        write_quoted(f, text)?;
        f.write_str("\"")
    } else {
        write_quoted(f, text)
    }
}

/// Whether a byte stands for itself in any field: nearly all do, and need no closer look.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn cut(path: &str) -> &str {
    let mut end = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

#[cfg(test)]
mod test {
    use super::*;

    fn served() -> RouterLine<'static> {
        RouterLine {
            trouble: None,
            method: "GET",
            path: "/a?b=1",
            host: "example.com".into(),
            request_id: "8601b555-6a83-4c12-8269-97c8e32cdb22".into(),
            fwd: "204.204.204.204".into(),
            dyno: Some(Cow::Owned("web.1".parse().unwrap())),
            connect_ms: Some(1),
            service_ms: Some(18),
            status: 200,
            bytes: Some(13),
            protocol: Protocol::Http11,
            encryption: Encryption::Plain,
            agent: None,
        }
    }

    #[test]
    fn lines_have_the_published_fields_in_the_published_order() {
        let timeout = RouterLine {
            trouble: Some(Code::H12.into()),
            connect_ms: Some(0),
            service_ms: Some(30_000),
            status: 503,
            bytes: Some(0),
            ..served()
        };
        let crashed = RouterLine {
            trouble: Some(Code::H10.into()),
            dyno: None,
            connect_ms: None,
            service_ms: None,
            status: 503,
            bytes: None,
            ..served()
        };
        let left = RouterLine {
            trouble: Some(Trouble { sock: Some(Socket::Client), ..Code::H27.into() }),
            status: 499,
            bytes: Some(0),
            ..served()
        };
        let broken = RouterLine {
            trouble: Some(Trouble { sock: Some(Socket::Backend), ..Code::H18.into() }),
            status: 503,
            ..served()
        };
        let large = RouterLine {
            trouble: Some(Trouble { detail: Some("oversized cookie"), ..Code::H25.into() }),
            status: 502,
            ..served()
        };
        let expecting = RouterLine {
            trouble: Some(Trouble { cause: Some("unsupported expect header value"), ..Code::H26.into() }),
            status: 417,
            protocol: Protocol::Http10,
            ..served()
        };
        let maintained = RouterLine { trouble: Some(Code::H80.into()), ..crashed.clone() };
        let encrypted = RouterLine { encryption: Encryption::Tls13, ..served() };
        let elsewhere = RouterLine {
            trouble: Some(Code::H32.into()),
            encryption: Encryption::Tls12,
            status: 495,
            ..crashed.clone()
        };
        let reused = RouterLine {
            trouble: Some(Code::H31.into()),
            encryption: Encryption::Tls13,
            protocol: Protocol::Http2,
            status: 421,
            agent: Some("curl/8 \"x\"".into()),
            ..crashed.clone()
        };
        let all = [
            served(),
            timeout,
            crashed,
            maintained,
            left,
            broken,
            large,
            expecting,
            encrypted,
            elsewhere,
            reused,
        ];
        insta::assert_snapshot!(all.map(|line| line.to_string()).join("\n"), @r#"
        at=info method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=false
        at=error code=H12 desc="Request timeout" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=0ms service=30000ms status=503 bytes=0 protocol=http1.1 tls=false
        at=error code=H10 desc="App crashed" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false
        at=info code=H80 desc="Maintenance mode" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false
        sock=client at=warning code=H27 desc="Client Request Interrupted" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=499 bytes=0 protocol=http1.1 tls=false
        sock=backend at=error code=H18 desc="Server Request Interrupted" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=503 bytes=13 protocol=http1.1 tls=false
        at=error code=H25 desc="HTTP restriction: oversized cookie" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=502 bytes=13 protocol=http1.1 tls=false
        at=error code=H26 desc="Request Error" cause="unsupported expect header value" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=417 bytes=13 protocol=http1.0 tls=false
        at=info method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=true tls_version=tls1.3
        at=error code=H32 desc="TLS Certificate Mismatch" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno= connect= service= status=495 bytes= protocol=http1.1 tls=true tls_version=tls1.2
        at=error code=H31 desc="Misdirected Request" method=GET path="/a?b=1" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="204.204.204.204" dyno= connect= service= status=421 bytes= protocol=http2.0 tls=true tls_version=tls1.3 agent="curl/8 \"x\""
        "#);
    }

    #[test]
    fn a_client_cannot_write_fields_or_lines_of_its_own() {
        let line =
            RouterLine { path: "/\" status=200\n\\", host: "a b=c".into(), fwd: "1\", x".into(), ..served() };
        let text = line.to_string();
        assert!(text.contains(r#"path="/\" status=200\x0a\\" host="a b=c" "#), "{text}");
        assert!(text.contains(r#"fwd="1\", x" "#), "{text}");
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = format!("/{}", "ä".repeat(PATH_BYTES_MAX));
        let line = RouterLine { path: &path, ..served() };
        assert!(line.to_string().len() < PATH_BYTES_MAX + 400);
    }
}
