//! Limits of a server, with the defaults of production.

use std::time::Duration;

/// Longest time of any kind. What is set longer counts as this.
const TIME_MOST: Duration = Duration::from_secs(24 * 3600);

/// Bounds what connections may cost. No time is longer than a day, whatever is set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct ServerSettings {
    /// Most connections at once. Default 8192; one more is closed at once. On Linux no more than the process may open files,
    /// less 256 for everything else, and at least 16: [`Server::bind`](super::Server::bind) says so in the log.
    pub connections: usize,
    /// Most connections of one address at once (of one /64 network, for IPv6). Default 256; one more is closed at once.
    /// Raise it behind a proxy, which is one address.
    pub connections_per_address: usize,
    /// Most connections of one address whose first request is not complete yet. Default 8; more wait for a place, as
    /// long as a header may take. Each costs some kilobytes, one that waits far less. Raise it behind a proxy, too: whoever
    /// opens connections there and says nothing makes all others wait. Zero counts as 1.
    pub unproven_per_address: usize,
    /// Longest time from the first byte of a request, or from the connection, to the end of its header. Default 10 s.
    pub header: Duration,
    /// Longest time that a connection may rest between two requests. Default 60 s.
    pub idle: Duration,
    /// Longest time from the answer's begin until the client has taken it. Default 30 s.
    pub answer: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections: 8192,
            connections_per_address: 256,
            unproven_per_address: 8,
            header: seconds(10),
            idle: seconds(60),
            answer: seconds(30),
        }
    }
}

impl ServerSettings {
    pub(super) fn bounded(mut self) -> Self {
        for time in [&mut self.header, &mut self.idle, &mut self.answer] {
            *time = (*time).min(TIME_MOST);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_longer_than_a_day() {
        let longest = ServerSettings { header: TIME_MOST, idle: TIME_MOST, answer: TIME_MOST, ..Default::default() };
        assert_eq!(longest.clone().bounded(), longest);
        let longer = TIME_MOST + Duration::from_nanos(1);
        let longer = ServerSettings { header: Duration::MAX, idle: longer, answer: longer, ..Default::default() };
        assert_eq!(longer.bounded(), longest);
    }
}
