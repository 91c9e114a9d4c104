//! Metrics of this process: recorded anywhere by the macros of the crate `metrics`, rendered for Prometheus by the admin
//! listener. Names begin with `schulhof_` and end with their unit; times in seconds become histograms.
//!
//! Must not: carry labels with unbounded values (accounts, rooms, devices).

use super::process;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Upper bounds of histograms named `*_seconds`: from a commit on a good disk to what a person calls broken.
const SECONDS_BUCKETS: [f64; 14] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Upper bounds of histograms named `*_size`: how many of something in one batch.
const SIZE_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts recording; what was counted before is lost. [`super::Admin::bind`] calls it, earlier calls do no harm.
pub fn install() {
    handle();
}

fn handle() -> Option<&'static PrometheusHandle> {
    RECORDER
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
                .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS))
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|e| tracing::warn!("metrics are not recorded: {e}"))
                .ok()
        })
        .as_ref()
}

/// All metrics in Prometheus' text form.
pub(super) fn render() -> String {
    let mut text = handle().map(PrometheusHandle::render).unwrap_or_default();
    process::render(&mut text);
    text
}

/// Must be called now and then: histograms keep every sample until then.
pub(super) fn upkeep() {
    if let Some(handle) = handle() {
        handle.run_upkeep();
    }
}
