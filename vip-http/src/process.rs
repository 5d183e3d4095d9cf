//! What this process costs: memory, descriptors, tasks.

/// Is what a process costs now; what the system does not say is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessCost {
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) descriptors: Option<u64>,
    pub(crate) tasks: usize,
}

/// Bytes of a page; the same on every machine that this is built for.
const PAGE_BYTES: u64 = 4096;

impl ProcessCost {
    /// Asks the system and the runtime; reads two files of the kernel, which are in memory.
    pub(crate) fn now() -> Self {
        Self {
            memory_bytes: resident_pages().map(|pages| pages.saturating_mul(PAGE_BYTES)),
            descriptors: descriptors(),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        }
    }
}

fn resident_pages() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

fn descriptors() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    u64::try_from(entries.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_has_memory_descriptors_and_the_tasks_that_it_spawned() {
        let before = ProcessCost::now();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(std::future::pending::<()>());
        let after = ProcessCost::now();
        assert_eq!(after.tasks, before.tasks + 1);
        if cfg!(target_os = "linux") {
            assert!(after.memory_bytes.unwrap() > 1_000_000 && after.descriptors.unwrap() > 2, "{after:?}");
        }
    }
}
