//! What the system has accepted for a server that ends: it is taken, whatever became of a single connection.

use std::io::{self, ErrorKind};

use vip_core::telemetry;

/// Takes what waits until nothing does, with at most `most` tries. A connection that is gone already costs no other one.
///
/// # Errors
///
/// What the system says, if it is not about one connection: what still waits is not taken.
pub(super) fn take_waiting<T>(
    most: usize,
    mut accept: impl FnMut() -> io::Result<T>,
    mut take: impl FnMut(T),
) -> io::Result<()> {
    for _ in 0..most {
        match accept() {
            Ok(connection) => take(connection),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if is_of_one(error.kind()) => {
                telemetry::tell(|| {
                    tracing::debug!(
                        { telemetry::ERROR } = %telemetry::causes(&error),
                        "a connection was gone before it was taken"
                    );
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says whether an error tells of one connection: of its end, or of its network, which Linux reports to whoever accepts it.
fn is_of_one(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes from a system that gives these answers; returns what was taken, and how it ended.
    fn taken(
        most: usize,
        answers: impl IntoIterator<Item = Result<u8, ErrorKind>>,
    ) -> (Vec<u8>, Result<(), ErrorKind>) {
        let mut answers = answers.into_iter();
        let mut taken = Vec::new();
        let accept = || answers.next().unwrap_or(Err(ErrorKind::WouldBlock)).map_err(io::Error::from);
        let ended = take_waiting(most, accept, |connection| taken.push(connection));
        (taken, ended.map_err(|error| error.kind()))
    }

    #[test]
    fn connections_that_are_gone_cost_no_other_one() {
        use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NetworkUnreachable};
        for gone in [ConnectionAborted, ConnectionReset, Interrupted, NetworkUnreachable] {
            assert_eq!(taken(99, [Ok(1), Err(gone), Err(gone), Ok(2)]), (vec![1, 2], Ok(())), "{gone}");
        }
    }

    #[test]
    fn what_is_not_about_one_connection_ends_it_and_is_told() {
        let answers = [Ok(1), Err(ErrorKind::OutOfMemory), Ok(2)];
        assert_eq!(taken(99, answers), (vec![1], Err(ErrorKind::OutOfMemory)));
    }

    #[test]
    fn there_are_no_more_tries_than_the_server_takes_connections() {
        assert_eq!(taken(2, [Ok(1), Ok(2), Ok(3)]), (vec![1, 2], Ok(())));
        assert_eq!(taken(2, std::iter::repeat(Err(ErrorKind::ConnectionAborted))), (Vec::new(), Ok(())));
    }
}
