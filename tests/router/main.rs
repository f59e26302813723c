//! The router from both sides: raw client bytes here, scripted dynos there, and its line in between. Needs no root.

mod bench;
mod codes;
mod connections;
mod forwarding;
mod tunnels;
