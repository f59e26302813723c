//! Archives that another program makes, on their way to the node.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::process::{Child, Command};
use tokio_util::io::ReaderStream;

use crate::cli::app::git;
use crate::cli::client::RequestBody;
use crate::cli::failure::Failure;

/// Bytes read from the archive at once.
const ARCHIVE_CHUNK_BYTES: usize = 64 * 1024;

/// `tar` of a directory: all that is in it, but for a repository's own files. What is not to be in the slug says its
/// `.slugignore`.
pub(super) fn of_directory(dir: &Path) -> Result<Child, Failure> {
    if !dir.is_dir() {
        return Err(Failure::Usage(format!("{} is no directory.", dir.display())));
    }
    let mut tar = Command::new("tar");
    tar.args(["--create", "--file=-", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    // Sockets, of which tar would tell, are no files.
    tar.args(["--warning=no-file-ignored", "--exclude=./.git", "--directory"]).arg(dir).arg(".");
    tar.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    tar.spawn().map_err(Failure::local("run tar"))
}

/// `git archive` of a commit of the repository around the current directory.
pub(super) fn of_commit(commit: &str) -> Result<Child, Failure> {
    let named = format!("{commit}^{{commit}}");
    if git(&["cat-file", "-e", &named]).is_err() {
        let told =
            format!("The commit {commit} is not in a repository here: fetch it, or go to where it is.");
        return Err(Failure::Nothing(told));
    }
    let mut archive = Command::new("git");
    archive.args(["archive", "--format=tar", commit]);
    archive.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    archive.spawn().map_err(Failure::local("run git"))
}

/// The archive as a body. An archiver that fails breaks the body, so that half a source is never built; one that is not
/// read to its end is killed with the body.
pub(super) fn body_of(mut archive: Child, program: &'static str) -> Result<RequestBody, Failure> {
    let nothing = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let stdout = archive.stdout.take().ok_or_else(nothing).map_err(Failure::local("read the archive"))?;
    let chunks = ReaderStream::with_capacity(stdout, ARCHIVE_CHUNK_BYTES);
    let end = stream::once(async move {
        match archive.wait().await {
            Ok(status) if status.success() => Ok(Bytes::new()),
            Ok(status) => Err(std::io::Error::other(format!("{program} failed ({status})"))),
            Err(failed) => Err(failed),
        }
    });
    let frames = chunks.chain(end).map(|chunk| chunk.map(Frame::data));
    Ok(BodyExt::boxed(StreamBody::new(SyncStream::new(frames))))
}

use self::sync::SyncStream;

/// A body must be `Sync`, which a stream that is only ever polled through `&mut` may claim.
mod sync {
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use futures_util::Stream;

    /// A stream behind a lock that is never contended.
    pub(super) struct SyncStream<S>(Mutex<Pin<Box<S>>>);

    impl<S> SyncStream<S> {
        pub(super) fn new(stream: S) -> Self {
            Self(Mutex::new(Box::pin(stream)))
        }
    }

    impl<S: Stream> Stream for SyncStream<S> {
        type Item = S::Item;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
            let stream = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            stream.as_mut().poll_next(cx)
        }
    }
}
