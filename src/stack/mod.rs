//! Stacks: root file systems that dynos and builds run on, built from data.
