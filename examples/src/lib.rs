//! Is empty: cargo wants a library beside the examples.
