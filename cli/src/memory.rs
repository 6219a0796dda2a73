//! How much memory this process holds, as the operating system counts it.

/// Returns the bytes of this process that are in memory now, or nothing where the system does not say.
///
/// Pages of mapped files count once they are touched.
///
/// # Cost
///
/// Reads a small file of the kernel's: some tens of microseconds.
pub fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// Returns the most bytes of this process that ever were in memory, or nothing where the system does not say.
pub fn resident_bytes_max() -> Option<u64> {
    status_bytes("VmHWM:")
}

#[cfg(target_os = "linux")]
fn status_bytes(name: &str) -> Option<u64> {
    status_value(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

#[cfg(not(target_os = "linux"))]
fn status_bytes(_name: &str) -> Option<u64> {
    None
}

/// Finds a line `name  123 kB` in the kernel's report; its `kB` are KiB.
#[cfg(any(target_os = "linux", test))]
fn status_value(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_report_is_understood() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1536 kB\nThreads:\t1\n";
        assert_eq!(status_value(status, "VmRSS:"), Some(1536 * 1024));
        assert_eq!(status_value(status, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(status_value(status, "VmSwap:"), None);
        assert_eq!(status_value("VmRSS:\tmuch\n", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        let resident = resident_bytes().expect("Linux says");
        assert!(resident > 0);
        assert!(resident_bytes_max().expect("Linux says") >= resident);
    }
}
