//! What an opening does where there is no database of ours yet.

/// Says what becomes of a database that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made: a new installation, which knows no server.
    Made,
    /// It is refused: one that is there knows what was ordered, and a new one would order it once more.
    Refused,
}
