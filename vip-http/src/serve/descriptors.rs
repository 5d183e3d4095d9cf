//! How many connections leave room for what else a process keeps open: each is a file descriptor, and those are limited.

use vip_core::telemetry;

/// Descriptors that connections leave to the database, the provider, files and the runtime.
const RESERVE: usize = 256;
/// Connections that are taken however low the limit is: a server that answers nobody is no use.
const LEAST: usize = 16;

/// Returns how many connections are taken where so many are wanted; says so if they are fewer.
pub(super) fn fitting(wanted: usize) -> usize {
    let Some(limit) = limit() else {
        return wanted;
    };
    let fitting = within(wanted, limit);
    if fitting < wanted {
        telemetry::tell(|| {
            tracing::warn!(
                { telemetry::COUNT } = fitting,
                "fewer connections are taken than the {wanted} that were wanted: the process may open {limit} files"
            );
        });
    }
    fitting
}

fn within(wanted: usize, limit: usize) -> usize {
    wanted.min(limit.saturating_sub(RESERVE).max(LEAST))
}

/// Asks Linux how many files this process may open; other systems are not asked.
fn limit() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// Reads the limit in force; none if there is none, or if the text is about something else.
fn soft_limit(text: &str) -> Option<usize> {
    let row = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Server, ServerSettings};
    use super::*;

    fn limits(row: &str) -> String {
        let before = "Limit                     Soft Limit           Hard Limit           Units     ";
        let behind = "Max locked memory         8388608              8388608              bytes     ";
        format!("{before}\n{row}\n{behind}\n")
    }

    #[test]
    fn the_soft_limit_of_open_files_is_read_and_nothing_else() {
        let open_files = "Max open files            1024                 524288               files     ";
        assert_eq!(soft_limit(&limits(open_files)), Some(1024));
        let without = "Max open files            unlimited            unlimited            files     ";
        assert_eq!(soft_limit(&limits(without)), None);
        for odd in ["", "Max open files", "Max open files  -1  -1  files", "Max file size  1024  1024  bytes"] {
            assert_eq!(soft_limit(&limits(odd)), None, "{odd}");
        }
    }

    #[test]
    fn connections_leave_the_reserve_free_and_are_never_none() {
        assert_eq!((within(768, 1024), within(769, 1024), within(8192, 1024)), (768, 768, 768));
        assert_eq!((within(8192, 8192 + RESERVE), within(8192, 8191 + RESERVE)), (8192, 8191));
        let least = RESERVE + LEAST;
        assert_eq!((within(8192, 0), within(8192, least), within(8192, least + 1)), (LEAST, LEAST, LEAST + 1));
        assert_eq!(within(3, 0), 3, "whoever wants fewer has fewer");
    }

    #[tokio::test]
    async fn a_server_takes_no_more_connections_than_its_process_has_room_for() {
        let settings = ServerSettings { connections: usize::MAX, ..ServerSettings::default() };
        let server = Server::bind(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let room = limit().map_or(usize::MAX, |limit| within(usize::MAX, limit));
        assert_eq!(server.settings.connections, room);
    }
}
