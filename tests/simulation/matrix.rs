//! Not there yet: matrix of the simulation.
