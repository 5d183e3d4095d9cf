//! Tells an operator of a write-ahead log that is not emptied: it grows for as long as somebody reads an old snapshot.

use vip_core::telemetry;

/// The log is cut back to so many bytes when it begins anew, so that a burst does not fill the disk for ever. SQLite moves it into
/// the file every 4 MiB, so that it is as long as this only after a burst, or while somebody reads.
pub(super) const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// Remembers what was told, once until the log is shorter again.
#[derive(Debug, Default)]
pub(super) struct LogWatch {
    /// How long it was when that was told.
    told: Option<u64>,
}

impl LogWatch {
    /// Looks at the log after a commit.
    pub(super) fn written(&mut self, bytes: u64) {
        if self.told.is_some_and(|told| bytes < told) {
            self.told = None;
        }
        if bytes > LOG_BYTES {
            self.tell(bytes);
        }
    }

    /// Looks at the log after a checkpoint that somebody who reads or writes was in the way of.
    pub(super) fn stayed(&mut self, bytes: u64) {
        self.tell(bytes);
    }

    /// Remembers that a checkpoint has emptied the log.
    pub(super) const fn emptied(&mut self) {
        self.told = None;
    }

    fn tell(&mut self, bytes: u64) {
        if self.told.is_none() {
            self.told = Some(bytes);
            telemetry::tell(|| {
                tracing::warn!(
                    log_bytes = bytes,
                    "the write-ahead log is not emptied, because a process reads an old state of the file or holds it: it grows, and \
                     keeps what was erased, until that ends"
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_too_long_above_its_bound_and_told_once_until_it_was_shorter() {
        let mut watch = LogWatch::default();
        watch.written(LOG_BYTES);
        assert_eq!(watch.told, None);
        watch.written(LOG_BYTES + 1);
        watch.written(LOG_BYTES + 9);
        assert_eq!(watch.told, Some(LOG_BYTES + 1), "once");
        watch.written(LOG_BYTES);
        assert_eq!(watch.told, None, "it began anew");
        watch.stayed(7);
        watch.stayed(8);
        watch.written(7);
        assert_eq!(watch.told, Some(7), "once");
        watch.emptied();
        assert_eq!(watch.told, None);
    }
}
