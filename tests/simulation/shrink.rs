//! Not there yet: shrink of the simulation.
