//! Buildpacks: source code becomes a slug, inside a sandbox.
