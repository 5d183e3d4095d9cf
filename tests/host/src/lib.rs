//! A stranger's program: its tests embed VIP by path, as a host does.
