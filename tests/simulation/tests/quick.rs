//! The quick set.
