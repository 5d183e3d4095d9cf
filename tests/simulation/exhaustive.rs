//! Not there yet: exhaustive of the simulation.
