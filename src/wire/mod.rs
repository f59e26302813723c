//! Every byte an outsider can see: codes, log lines, headers, push and API texts. It spells; it does not choose.

pub mod logline;
