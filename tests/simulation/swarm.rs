//! Not there yet: swarm of the simulation.
