//! The client half of the command line. Empty as yet.
