//! What the kernel says about this process, in Prometheus' own names (`process_*`) so that common dashboards find it.

use std::fmt::Write as _;

/// Clock ticks per second in /proc: fixed at 100 on Linux for programs (USER_HZ), whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the process' metrics in text form; what cannot be read is left out.
pub fn render(out: &mut String) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    let mut gauge = |name: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = write!(out, "# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    };
    gauge("process_resident_memory_bytes", "gauge", field("VmRSS:").map(|kib| (kib * 1024) as f64));
    gauge("process_threads", "gauge", field("Threads:").map(|n| n as f64));
    gauge("process_cpu_seconds_total", "counter", cpu_seconds());
    gauge("process_open_fds", "gauge", std::fs::read_dir("/proc/self/fd").ok().map(|d| d.count() as f64));
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses and may hold blanks; utime and stime are the 14th and 15th.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_process_tells_its_memory_and_time() {
        let mut out = String::new();
        super::render(&mut out);
        let value = |name: &str| -> f64 {
            let line = out.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {out}"));
            line.split(' ').nth(1).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_threads ") >= 1.0);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_cpu_seconds_total ") < 1e6);
    }
}
