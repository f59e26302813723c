//! Slugs on disk: `<lib>/slugs/<digest>/`, with the archive and the files it holds, whole or not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build::pack;
use crate::build::sandbox::{Input, Workshop};
use crate::build::source::own;
use crate::build::transcript::Transcript;
use crate::build::{NodeFailure, STORE_ID, Stop};
use crate::domain::{Bytes, SlugDigest};
use crate::runtime::Access;
use crate::sys::fingerprint;
use crate::sys::fs::sync_dir;
use crate::sys::mount::give_to;
use crate::wire::push_text;

/// Directory of the slugs, below the node's state.
pub(super) const SLUGS_DIR: &str = "slugs";
/// How the name of a slug that is not whole yet ends.
pub(super) const UNFINISHED: &str = ".new";
/// Above this the pusher is warned.
pub(super) const SLUG_WARNING: Bytes = Bytes::mib(300);

/// The archive beside the files.
pub const ARCHIVE: &str = "slug.tar.zst";

/// A slug in its place.
pub(super) struct Stored {
    pub(super) digest: SlugDigest,
    pub(super) size: Bytes,
}

/// Packs what the buildpacks have left and puts it in its place. The same files make the same digest, whoever built them
/// when; a slug that is there already is used.
pub(super) async fn store(
    workshop: &Workshop,
    max: Bytes,
    transcript: &mut Transcript<'_>,
) -> Result<Stored, Stop> {
    let archive = workshop.dir().join(ARCHIVE);
    let packed = pack(workshop, &archive, max).await?;
    if packed.size > max {
        return Err(Stop::Source(push_text::slug_too_large(packed.size, max)));
    }
    transcript.say(&push_text::compressed(packed.size));
    if packed.size > SLUG_WARNING {
        transcript.say(&push_text::slug_large(packed.size, SLUG_WARNING));
    }
    let digest: SlugDigest = packed
        .digest
        .parse()
        .map_err(|error| NodeFailure::file("name the slug", &archive)(io::Error::other(error)))?;
    let place = workshop.lib_dir().join(SLUGS_DIR).join(digest.as_str());
    if !place.is_dir() {
        unpack(workshop, &archive, &place).await?;
    }
    Ok(Stored { digest, size: packed.size })
}

/// The canonical archive: sorted, without times and owners.
async fn pack(workshop: &Workshop, archive: &Path, max: Bytes) -> Result<pack::Archive, Stop> {
    let script = format!(
        "cd {} && chmod -R u+rwX . && exec tar -c -f - --sort=name --mtime=@315532800 --owner=0 --group=0 \
         --numeric-owner --format=gnu --anchored --exclude=./.git --transform='s,^\\.,./app,S' .",
        workshop.build_dir()
    );
    let ended =
        workshop.run(own("pack", script), Input::Empty, |out| pack::compress(out, archive, max)).await?;
    ended.or_refuse(|_, said| {
        Stop::Source(push_text::declaration_refused(&format!("the app's files cannot be packed: {said}")))
    })
}

async fn unpack(workshop: &Workshop, archive: &Path, place: &Path) -> Result<(), Stop> {
    let mut name = place.as_os_str().to_owned();
    name.push(format!(".{}{UNFINISHED}", workshop.mark()));
    let new = PathBuf::from(name);
    workshop.also_remove(new.clone());
    let app = new.join("app");
    fs::create_dir_all(&app).map_err(NodeFailure::file("make", &app))?;
    give_to(&app, STORE_ID, STORE_ID).map_err(NodeFailure::file("give away", &app))?;
    let kept = new.join(ARCHIVE);
    fs::rename(archive, &kept).map_err(NodeFailure::file("put in place", &kept))?;
    let script = "tar -x -p --strip-components=2 -C /app -f - && sync -f /app".to_owned();
    let mut step = own("unpack the slug", script);
    step.mounts = vec![Workshop::bind(app.clone(), "/app", Access::ReadWrite)];
    workshop.run_own(step, Input::Zstd(kept), 0).await?;
    // By which a later start of a dyno sees that the files are still those that were released (R17).
    fingerprint::keep(&app).map_err(NodeFailure::file("take the fingerprint of", &app))?;
    put_in_place(&new, place).map_err(NodeFailure::file("put in place", place))?;
    Ok(())
}

fn put_in_place(new: &Path, place: &Path) -> io::Result<()> {
    sync_dir(new)?;
    match fs::rename(new, place) {
        // Another build has made the same one meanwhile.
        Err(_) if place.is_dir() => return Ok(()),
        renamed => renamed?,
    }
    sync_dir(place.parent().unwrap_or(place))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_slug_is_put_in_place_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("digest");
        for name in ["first", "second"] {
            let new = dir.path().join(name);
            fs::create_dir(&new).unwrap();
            fs::write(new.join("file"), name).unwrap();
            put_in_place(&new, &place).unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "first");
        assert!(put_in_place(&dir.path().join("none"), &dir.path().join("other")).is_err());
    }
}
