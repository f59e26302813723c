//! `dyno ps:copy`

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::attached;
use crate::cli::command::ps_exec::{DYNO, path};
use crate::cli::command::run::attach;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::command_line;
use crate::wire::api::CreateDyno;

/// Tells that the file begins behind the end of this line, after all that profile scripts may say; and the digest and the length of what
/// follows, for what they say on their other stream may come at any time, and a dyno may say more than it should.
const MARK: &[u8] = b"\ndyno-copy ";
/// What the mark tells of a file that cannot be read.
const NONE: &[u8] = b"none";
/// Runs in the dyno, and is given the file's name.
const SCRIPT: &str = r#"[ -f "$1" ] && [ -r "$1" ] || { printf '\n%s\n' 'dyno-copy none'; exit 1; }
sum=$(sha256sum < "$1") && size=$(stat -L -c %s -- "$1") && printf '\n%s %s %s\n' dyno-copy "${sum%% *}" "$size" && exec cat < "$1" 2> /dev/null"#;
/// Most that profile scripts may say before the file comes, in bytes.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Copy a file out of a dyno that runs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Out of which dyno
    #[arg(short, long, value_name = "DYNO", default_value = DYNO)]
    dyno: String,
    /// Where to; the file's own name in this directory if not given. A file that is there is left as it is
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The file, as the dyno sees it: a relative path starts in /app
    #[arg(value_name = "FILE")]
    file: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let to = self.output.or_else(|| Path::new(&self.file).file_name().map(PathBuf::from));
        let to = to.ok_or_else(|| Failure::Usage(format!("{:?} names no file.", self.file)))?;
        let words = ["bash", "-c", SCRIPT, "copy", &self.file].map(str::to_owned);
        let command = command_line(&words);
        let request = CreateDyno { command, force_no_tty: Some(true), ..CreateDyno::default() };
        let attempt = format!("write {}", to.display());
        let file = match File::create_new(&to) {
            Err(there) if there.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Failure::Usage(format!(
                    "{} is there already: name another with -o.",
                    to.display()
                )));
            }
            made => made.map_err(Failure::local(&attempt))?,
        };
        output::note(&format!("Copying {} from {}... ", self.file, self.dyno));
        let copied = async {
            let (_, connection) = attach(context, &path(&app, &self.dyno), request).await?;
            let mut copy =
                Copy { head: Some(Vec::new()), told: Vec::new(), left: 0, hash: Sha256::new(), file };
            let status =
                attached::listen(connection, |bytes| copy.take(bytes).map_err(Failure::local(&attempt)));
            let status = status.await?;
            copy.check(status, &self.file)
        };
        let copied = copied.await.inspect_err(|_| {
            // Nothing is left of it but the reason.
            let _ = std::fs::remove_file(&to);
            output::note("!\n");
        });
        copied.map(|()| output::note("done\n"))
    }
}

/// A file on its way.
struct Copy<W> {
    /// What came before the mark, as long as that has not come.
    head: Option<Vec<u8>>,
    /// What the mark has told.
    told: Vec<u8>,
    /// Bytes that are still to come.
    left: u64,
    hash: Sha256,
    file: W,
}

impl<W: Write> Copy<W> {
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let Some(head) = &mut self.head else { return self.keep(bytes) };
        head.extend_from_slice(bytes);
        let mark = head.windows(MARK.len()).position(|window| window == MARK).map(|at| at + MARK.len());
        let end = mark.and_then(|mark| {
            head[mark..].iter().position(|byte| *byte == b'\n').map(|length| (mark, mark + length))
        });
        let Some((mark, end)) = end else {
            let is_too_much = head.len() > HEAD_BYTES_MAX;
            let refused = || std::io::Error::other("its profile scripts say too much before the file comes");
            return if is_too_much { Err(refused()) } else { Ok(()) };
        };
        let mut told = head[mark..end].splitn(2, |byte| *byte == b' ');
        self.told = told.next().unwrap_or_default().to_vec();
        self.left =
            told.next().and_then(|size| std::str::from_utf8(size).ok()?.parse().ok()).unwrap_or_default();
        let first = head.split_off(end + 1);
        self.head = None;
        self.keep(&first)
    }

    fn keep(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| {
            std::io::Error::other("the dyno sends more than the file holds: does something write to it?")
        })?;
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }

    /// Whether all of it has come.
    fn check(self, status: ExitCode, file: &str) -> Result<(), Failure> {
        if self.told == NONE {
            return Err(Failure::Nothing(format!("The dyno has no file {file} that it may read.")));
        }
        if status == ExitCode::SUCCESS && self.told == hex::encode(self.hash.finalize()).as_bytes() {
            return Ok(());
        }
        Err(Failure::Nothing(format!(
            "{file} did not come as it is: does something write to it? Nothing was kept; repeat the copy."
        )))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn copied(parts: &[&[u8]], status: u8) -> Result<Vec<u8>, String> {
        let mut kept = Vec::new();
        let mut copy =
            Copy { head: Some(Vec::new()), told: Vec::new(), left: 0, hash: Sha256::new(), file: &mut kept };
        parts.iter().for_each(|part| copy.take(part).unwrap());
        copy.check(ExitCode::from(status), "f").map_err(|failure| failure.to_string())?;
        Ok(kept)
    }

    #[test]
    fn only_what_follows_the_mark_is_kept_and_only_if_it_is_whole() {
        let digest = hex::encode(Sha256::digest(b"a\nb"));
        let whole = format!("a profile speaks\n\ndyno-copy {digest} 3\na\nb");
        for cut in 0..whole.len() {
            let (one, other) = whole.as_bytes().split_at(cut);
            assert_eq!(copied(&[one, other], 0).unwrap(), b"a\nb");
        }
        for (text, status) in [(whole.as_str(), 1), (&whole[..whole.len() - 1], 0), ("nothing", 0)] {
            assert!(copied(&[text.as_bytes()], status).unwrap_err().contains("repeat"), "{text:?} {status}");
        }
        let more = format!("\ndyno-copy {digest} 3\na\nb and for ever");
        let mut copy =
            Copy { head: Some(Vec::new()), told: Vec::new(), left: 0, hash: Sha256::new(), file: Vec::new() };
        assert!(copy.take(more.as_bytes()).is_err() && copy.file.is_empty(), "a dyno fills no disk");
        assert!(copied(&[b"\ndyno-copy none\n"], 1).unwrap_err().contains("no file f"));
    }
}
