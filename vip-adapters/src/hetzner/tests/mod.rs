//! Tests of the adapter without a network.
