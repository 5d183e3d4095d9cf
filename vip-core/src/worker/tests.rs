//! A worker on the memory queue.
