//! The process, read from /proc when somebody asks.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks of the kernel's clock a second, as programs see them (`USER_HZ`): 100 on every architecture that Rust runs on.
const TICKS: f64 = 100.0;

/// Reads what the kernel knows of this process. What can't be read is left out.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some((cpu_ticks, start_ticks)) = ticks(&stat) {
            let cpu = ConstCounter::new(cpu_ticks / TICKS);
            let help = "Processor time that the process has taken";
            write(&mut encoder, "process_cpu_seconds", help, &cpu)?;
            let system = fs::read_to_string("/proc/stat").unwrap_or_default();
            if let Some(boot) = number_after(&system, "btime ") {
                let begun = ConstGauge::new(boot + start_ticks / TICKS);
                let help = "When the process started, since 1970";
                write(&mut encoder, "process_start_time_seconds", help, &begun)?;
            }
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kilobytes) = number_after(&status, "VmRSS:") {
            let resident = ConstGauge::new(kilobytes * 1024.0);
            let help = "Memory of the process that is in RAM";
            write(
                &mut encoder,
                "process_resident_memory_bytes",
                help,
                &resident,
            )?;
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The directory itself is open while it is read.
            let open = entries.count().saturating_sub(1);
            let open = ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX));
            write(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors",
                &open,
            )?;
        }
        if let Ok((limit, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
            let limit = ConstGauge::new(i64::try_from(limit).unwrap_or(i64::MAX));
            let help = "File descriptors that may be open";
            write(&mut encoder, "process_max_fds", help, &limit)?;
        }
        Ok(())
    }
}

fn write(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: &impl EncodeMetric,
) -> fmt::Result {
    value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
}

/// The processor time, and the start after the boot, of a line of /proc/PID/stat (proc(5)). The program's name, which
/// may hold anything, ends with the last parenthesis; the third field follows it.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |number: usize| {
        fields
            .split_whitespace()
            .nth(number - 3)?
            .parse::<f64>()
            .ok()
    };
    Some((field(14)? + field(15)?, field(22)?))
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_field() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 4200 20";
        assert_eq!(ticks(stat), Some((200.0, 4200.0)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_number_is_found_by_its_name() {
        assert_eq!(
            number_after("VmPeak:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"),
            Some(12.0)
        );
        assert_eq!(number_after("VmRSS:", "VmRSS:"), None);
    }
}
