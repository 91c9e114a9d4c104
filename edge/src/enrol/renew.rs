//! Renews the box's certificate at two thirds of its lifetime, for the same key, and uses the new one for the next
//! connection. What is open stays open; nothing is started again.

use crate::{config::Core, stop::Stop};
use anyhow::Context as _;
use schulhof_net::{
    enrol::{EnrolError, renew},
    identity::{Identity, NodeKey},
    quic::Endpoint,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What the core is told.
pub const SOFTWARE: &str = concat!("schulhof ", env!("CARGO_PKG_VERSION"));
/// The clock is looked at this often: it may jump, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// After a renewal that failed, doubled up to [`LOOK_EVERY`]: ten days are left for it.
const RETRY_FIRST: Duration = Duration::from_mins(1);
/// Boxes that joined together renew apart: up to this part of the lifetime later, in percent.
const SPREAD_PERCENT: u64 = 5;

/// When to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    In(Duration),
    Now,
    /// Nobody would take this certificate to renew it.
    TooLate,
}

/// `spread` is this box's share of the spread, in percent of it.
fn due((from_s, until_s): (u64, u64), now_s: u64, spread: u64) -> Due {
    let lifetime_s = until_s.saturating_sub(from_s);
    let at_s = from_s + lifetime_s * 2 / 3 + lifetime_s * SPREAD_PERCENT / 100 * spread / 100;
    if now_s >= until_s {
        Due::TooLate
    } else if now_s >= at_s {
        Due::Now
    } else {
        Due::In(Duration::from_secs(at_s - now_s))
    }
}

/// Renews until the order to stop.
pub async fn keep(endpoint: Endpoint, dir: PathBuf, core: Vec<Core>, mut stop: Stop) {
    let core: Vec<String> = core.iter().map(|node| node.addr.to_string()).collect();
    tokio::select! {
        () = keep_valid(&endpoint, &dir, &core) => {}
        () = stop.ordered() => {}
    }
}

async fn keep_valid(endpoint: &Endpoint, dir: &Path, core: &[String]) {
    let spread = rand::random_range(0..100);
    let mut retry = RETRY_FIRST;
    loop {
        let validity = match endpoint.identity().validity_s() {
            Ok(validity) => validity,
            Err(error) => return tracing::error!(%error, "the certificate cannot be read, and is not renewed"),
        };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let pause = match due(validity, now_s, spread) {
            Due::In(left) => left.min(LOOK_EVERY),
            Due::TooLate => {
                tracing::error!("the box's certificate has ended: the school goes on, the core needs a new token");
                LOOK_EVERY
            }
            Due::Now => match once(endpoint, dir, core).await {
                Ok(identity) => {
                    retry = RETRY_FIRST;
                    let until = identity.validity_s().map_or(0, |(_, until)| until);
                    tracing::info!(until, "the box's certificate is renewed");
                    // A core that gives shorter and shorter ones is not asked all the time.
                    RETRY_FIRST
                }
                Err(error) => {
                    metrics::counter!("schulhof_edge_renewals_failed_total").increment(1);
                    tracing::warn!("the box's certificate is not renewed yet: {error:#}");
                    let pause = retry;
                    retry = (retry * 2).min(LOOK_EVERY);
                    pause
                }
            },
        };
        tokio::time::sleep(pause).await;
    }
}

/// One renewal: asked for, written, and used from then on.
pub async fn once(endpoint: &Endpoint, dir: &Path, core: &[String]) -> anyhow::Result<Identity> {
    let key = NodeKey::load(dir)?;
    let (identity, _) = match renew(endpoint, &key, core, SOFTWARE).await {
        Err(EnrolError::Identity(error)) => return Err(error).context("the core's answer does not fit"),
        other => other?,
    };
    let (saved, dir) = (identity.clone(), dir.to_owned());
    tokio::task::spawn_blocking(move || saved.save_certificate(&dir)).await??;
    endpoint.renew(identity.clone())?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_a_little_apart_and_not_after_its_end() {
        let day = 24 * 3_600;
        let validity = (1_000, 1_000 + 30 * day);
        assert_eq!(due(validity, 1_000 + 20 * day - 1, 0), Due::In(Duration::from_secs(1)));
        assert_eq!(due(validity, 1_000 + 20 * day, 0), Due::Now);
        assert_eq!(due(validity, 1_000 + 20 * day, 99), Due::In(Duration::from_secs(30 * day / 20 * 99 / 100)));
        assert_eq!(due(validity, 1_000 + 22 * day, 99), Due::Now);
        assert_eq!(due(validity, 1_000 + 30 * day, 0), Due::TooLate);
        assert_eq!(due((5, 4), 0, 0), Due::In(Duration::from_secs(5)), "a certificate of no sense brings nothing down");
    }
}
