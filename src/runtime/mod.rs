//! Containers: a spec becomes a plan, a plan is executed. Knows no product word.

pub mod cgroup;
pub mod exit;
pub mod limits;
pub mod network;
pub mod seccomp;
<<<<<<< HEAD
pub mod spec;
=======
pub mod slots;
>>>>>>> 26f7ccb (Spell the Procfile and the push; share out slots)
