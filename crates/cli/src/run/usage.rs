//! What a group of processes uses. On Linux from `/proc`; elsewhere nobody says, and `run` refuses such limits.

use std::time::Duration;

/// The processes of a group together. What children used that have ended and been waited for counts.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
}

/// True if limits on processor time and memory can be held here.
pub(crate) const KNOWN: bool = cfg!(target_os = "linux");

/// What the processes of the group use now; nothing if that cannot be told.
#[cfg(target_os = "linux")]
pub(crate) fn of_group(group: u32) -> Option<Usage> {
    let ticks_per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    let (mut ticks, mut pages) = (0u64, 0u64);
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process may end while we look.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name stands in parentheses and may hold anything.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // Counted from the state, the third field of proc(5): pgrp 5, utime 14 to cstime 17, rss 24.
        if field(5 - 3) != u64::from(group) {
            continue;
        }
        ticks += (14..=17).map(|at| field(at - 3)).sum::<u64>();
        pages += field(24 - 3);
    }
    let cpu = Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64);
    Some(Usage { cpu, memory: pages * u64::try_from(page_bytes).ok()? })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn of_group(_group: u32) -> Option<Usage> {
    None
}
