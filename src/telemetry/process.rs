//! What the process itself uses, by the names that Prometheus' own libraries give it. Known on Linux only.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Reads the figures when they are asked for.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    #[cfg(target_os = "linux")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        use prometheus_client::{
            encoding::EncodeMetric,
            metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
        };

        // Without /proc there are no figures, and no reason to do without the others.
        let Ok(figures) = linux::figures() else { return Ok(()) };
        let cpu = ConstCounter::new(figures.cpu_seconds);
        let help = "User and system time spent";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?)?;
        for (name, help, value) in [
            ("process_start_time_seconds", "When the process started, in seconds since the epoch", figures.started),
            ("process_resident_memory_bytes", "Memory in use", figures.resident_bytes),
            ("process_virtual_memory_bytes", "Address space in use", figures.virtual_bytes),
            ("process_open_fds", "Open file descriptors", figures.open_files),
            ("process_threads", "Threads", figures.threads),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder) -> fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::{ProcResult, WithCurrentSystemInfo, process::Process};

    pub struct Figures {
        pub cpu_seconds: f64,
        pub started: f64,
        pub resident_bytes: f64,
        pub virtual_bytes: f64,
        pub open_files: f64,
        pub threads: f64,
    }

    #[allow(clippy::cast_precision_loss, reason = "the format has floating point numbers only")]
    pub fn figures() -> ProcResult<Figures> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        Ok(Figures {
            cpu_seconds: stat.utime.saturating_add(stat.stime) as f64 / ticks,
            started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss_bytes().get() as f64,
            virtual_bytes: stat.vsize as f64,
            open_files: process.fd_count()? as f64,
            threads: stat.num_threads as f64,
        })
    }
}
