//! The runtime's own command line faces: debug and doctor.
