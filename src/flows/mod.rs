//! User stories: create, push, release, rollback, scale, run, restart, configure. Front doors only parse into these.
