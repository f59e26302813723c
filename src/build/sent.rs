//! A slug that was packed elsewhere: what it holds in `./app` is packed again as the node packs its own, so that the same files
//! are the same slug, whoever packed them.

use std::path::Path;

use futures_util::future::BoxFuture;

use crate::build::sandbox::{Input, Workshop, first};
use crate::build::source::{own, tar_options};
use crate::build::transcript::Transcript;
use crate::build::{BuildRequest, Layers, PackedSlug, Stop, slug};
use crate::wire::push_text;

/// How the step ends that finds nothing in `./app`; tar itself ends with 1 and 2.
const NOTHING_IN_APP: u8 = 40;

pub(super) fn steps<'a>(
    request: &'a BuildRequest,
    workshop: &'a Workshop,
    _: &'a dyn Layers,
    transcript: &'a mut Transcript<'_>,
) -> BoxFuture<'a, Result<PackedSlug, Stop>> {
    Box::pin(async move {
        workshop.lay_out(request, &[]).await?;
        unpack(workshop, &request.source).await?;
        let packed = slug::store(workshop, request.limits.slug_max, transcript).await?;
        Ok(PackedSlug { digest: packed.digest, size: packed.size, stack_version: workshop.stack_version() })
    })
}

/// Modes are kept as the archive has them, for they are part of a slug, but none that would make its files run as somebody else.
/// What is beside `./app` is left out: some archivers put notes of their own there.
async fn unpack(workshop: &Workshop, archive: &Path) -> Result<(), Stop> {
    let (dir, options) = (workshop.build_dir(), tar_options(archive)?);
    let script = format!(
        "set -e\nmkdir {dir}.sent\ntar {options} -p --no-same-owner -C {dir}.sent -f -\ncd {dir}.sent\nchmod -R u+rwX,ug-s .\n\
         {{ [ -d app ] && [ ! -L app ] && [ -n \"$(ls -A app)\" ]; }} || exit {NOTHING_IN_APP}\n\
         mv -T app {dir}\ncd /\nrm -rf {dir}.sent"
    );
    let input = Input::File(archive.to_owned());
    let ended = workshop.run(own("unpack a slug", script), input, |out| first(out, 0)).await?;
    ended.or_refuse(|status, said| {
        tracing::debug!(status, said, "a slug could not be unpacked");
        Stop::Source(match status {
            NOTHING_IN_APP => push_text::nothing_in_app(),
            _ => push_text::bad_source(),
        })
    })?;
    Ok(())
}
