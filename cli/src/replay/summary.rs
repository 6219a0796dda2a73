//! What a replay tells at its end.

use std::time::Duration;

use hdrhistogram::Histogram;
use stillpoint_persist::DurableStore;

use super::latency::Latencies;
use super::worker::RECORDS_TOGETHER;
use crate::input::Positions;
use crate::memory;
use crate::report::{Align, Report, Style, Table, bytes, count, duration, rate, signed};
use crate::state::Maps;

/// Everything that is known at the end of a replay.
pub(super) struct Summary<'a> {
    pub(super) store: &'a DurableStore,
    pub(super) maps: &'a Maps,
    pub(super) resumed_at: Positions,
    pub(super) applied: u64,
    /// Until the last record was applied.
    pub(super) time: Duration,
    /// Until it was durable.
    pub(super) time_durable: Duration,
    pub(super) latencies: Latencies,
}

impl Summary<'_> {
    /// The summary as a report.
    pub(super) fn report(&self) -> Report {
        let mut report = Report::new(Style::of_stdout()).heading("Replay").facts(self.totals());
        report = report.heading("Speed").facts(self.speed());
        if self.applied > 0 {
            report = report.table(self.latency());
        }
        report.heading("On disk").facts(self.disk())
    }

    fn totals(&self) -> Vec<(&'static str, String)> {
        let still = self.store.store().snapshot();
        let total = self.maps.total(&still);
        let mut facts = vec![
            ("airports", count(still.iter(&self.maps.airports).count() as u64)),
            ("routes", count(still.iter(&self.maps.routes).count() as u64)),
            ("flights", count(total.flights)),
            ("sum of delays", format!("{} min", signed(total.delay_sum))),
        ];
        if let Some((least, most)) = total.delay_range() {
            facts.push(("delays", format!("{} to {} min", signed(i64::from(least)), signed(i64::from(most)))));
            facts.push(("last departure", total.last_departure.to_string()));
        }
        if self.maps.malformed() > 0 {
            facts.push(("malformed, passed over", count(self.maps.malformed())));
        }
        facts
    }

    fn speed(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        if self.resumed_at.applied() > 0 {
            facts.push(("found applied", format!("{} records", count(self.resumed_at.applied()))));
        }
        facts.push(("applied", format!("{} records in {}", count(self.applied), duration(self.time))));
        facts.push(("records", rate(self.applied, self.time)));
        facts.push(("updates", rate(self.applied * 2, self.time)));
        facts.push(("durable after", duration(self.time_durable)));
        if let Some(resident) = memory::resident_bytes() {
            facts.push(("resident memory", bytes(resident)));
        }
        facts
    }

    fn latency(&self) -> Table {
        let what = format!("{RECORDS_TOGETHER} records in one step");
        let columns = [
            (what.as_str(), Align::Left),
            ("p50", Align::Right),
            ("p99", Align::Right),
            ("p99.9", Align::Right),
            ("max", Align::Right),
            ("steps", Align::Right),
        ];
        let row = |name: &str, histogram: &Histogram<u64>| {
            let at = |quantile| duration(Duration::from_nanos(histogram.value_at_quantile(quantile)));
            let max = duration(Duration::from_nanos(histogram.max()));
            [name.to_owned(), at(0.5), at(0.99), at(0.999), max, count(histogram.len())]
        };
        let mut table = Table::new(columns).row(row("no snapshot file", &self.latencies.alone));
        if !self.latencies.beside.is_empty() {
            table = table.row(row("beside a snapshot file", &self.latencies.beside));
        }
        table
    }

    fn disk(&self) -> Vec<(&'static str, String)> {
        let health = self.store.health();
        let mut facts = vec![
            ("log", format!("{} in {} frames", bytes(health.frame_bytes), count(health.frames))),
            ("longest frame", duration(health.frame_time_max)),
            ("snapshot files", count(health.snapshot_files)),
        ];
        if let Some(file) = health.last_snapshot_file {
            let entries = count(file.entries);
            facts
                .push(("the last one", format!("{entries} entries, {} in {}", bytes(file.bytes), duration(file.time))));
        }
        facts
    }
}
