//! Which schools are open: each at its first request, at most so many at once, closed when nobody has used it for a while.
//!
//! A school is opened and closed under its own lock, so that it is opened once however many ask at once, and never while its
//! file is still being closed. Nobody waits for another school's lock. A school with operations that wait for the core is
//! not closed to make room, and one that was not closed properly is opened again by itself, so that they arrive.

use super::{
    folder::Folder,
    tenant::{Ground, Plot, Tenant},
};
use crate::{door::Refusal, stop::Stop};
use parking_lot::Mutex;
use schulhof_wire::SchoolId;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

/// A school that is opened is not closed again for another one at once: both would only load.
const UNUSED_MIN_MS: u64 = 10_000;
/// A file that could not be opened is tried again after this.
const FAILED_PAUSE_MS: u64 = 2_000;
/// Looking for schools that nobody uses, at least four times within the time after which they are closed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Adding up the files' sizes costs a system call each.
const MEASURE_EVERY: Duration = Duration::from_mins(1);
/// Schools that are opened for somebody who has shown no pass: so many at once, then one in each time. Each costs the core a
/// school's state, and whoever knows the addresses could ask for all of them in turn.
const KNOCKS_MAX: u64 = 20;
const KNOCK_EVERY_MS: u64 = 250;
/// In `/status`.
const SHOWN_MAX: usize = 100;
/// When all places are taken by schools in use.
const FULL_RETRY_S: u32 = 20;

/// How many schools may be open, how long, and what their files may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub open_max: usize,
    pub idle_ms: u64,
    pub disk_bytes: u64,
}

/// All schools of the gateway.
pub struct Tenants {
    ground: Arc<Ground>,
    slots: BTreeMap<SchoolId, Slot>,
    limits: Limits,
    places: Arc<Semaphore>,
    knocks: Mutex<Knocks>,
    /// Something may wait in their files.
    unfinished: Mutex<BTreeSet<SchoolId>>,
    stopped: AtomicBool,
}

struct Slot {
    plot: Arc<Plot>,
    state: Arc<tokio::sync::Mutex<State>>,
}

enum State {
    Closed,
    Open(Arc<Tenant>),
    /// Its file cannot be opened; not tried before then.
    Failed(u64),
}

/// A bucket of openings without a pass (token bucket).
#[derive(Debug, Default)]
struct Knocks {
    /// Time at which all that was taken has come back.
    full_ms: u64,
}

impl Knocks {
    fn take(&mut self, now_ms: u64) -> bool {
        let full_ms = self.full_ms.max(now_ms) + KNOCK_EVERY_MS;
        let fits = full_ms <= now_ms + KNOCKS_MAX * KNOCK_EVERY_MS;
        if fits {
            self.full_ms = full_ms;
        }
        fits
    }
}

/// Why a school is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpen {
    #[error("all places are taken by schools in use")]
    Full,
    #[error("too many schools were opened just now for people without a pass")]
    Knocked,
    #[error("the school's file cannot be opened")]
    Failed,
    #[error("the gateway stops")]
    Stopping,
}

impl From<NotOpen> for Refusal {
    fn from(error: NotOpen) -> Self {
        match error {
            NotOpen::Full => Self::busy().retry_after(FULL_RETRY_S),
            NotOpen::Failed => Self::storage(),
            NotOpen::Knocked | NotOpen::Stopping => Self::busy(),
        }
    }
}

/// An open school, in `/status`.
#[derive(Debug, Serialize)]
pub struct OpenSchool {
    pub school: SchoolId,
    /// Holds all that the core has, or did once.
    pub current: bool,
    pub core_online: bool,
    pub head: u64,
    pub pending: usize,
    pub sockets: usize,
    pub unused_ms: u64,
}

impl Tenants {
    pub fn new(
        ground: Arc<Ground>,
        plots: impl IntoIterator<Item = Plot>,
        limits: Limits,
    ) -> anyhow::Result<Arc<Self>> {
        let slot = |plot: Plot| {
            let state = Arc::new(tokio::sync::Mutex::new(State::Closed));
            (plot.site.school.clone(), Slot { plot: Arc::new(plot), state })
        };
        let slots: BTreeMap<_, _> = plots.into_iter().map(slot).collect();
        let mut unfinished = BTreeSet::new();
        for kept in ground.folder.kept()? {
            if kept.unfinished && slots.contains_key(&kept.school) {
                unfinished.insert(kept.school);
            } else if kept.unfinished {
                tracing::error!(school = %kept.school, "operations may wait here, but the school is not configured any more");
            }
        }
        let places = Arc::new(Semaphore::new(limits.open_max));
        let unfinished = Mutex::new(unfinished);
        Ok(Arc::new(Self {
            ground,
            slots,
            limits,
            places,
            unfinished,
            knocks: Mutex::default(),
            stopped: AtomicBool::new(false),
        }))
    }

    /// The school, opened if it is not. Whoever holds it keeps it open. `known`: whoever asks has a right to.
    pub async fn enter(self: &Arc<Self>, school: &SchoolId, known: bool) -> Result<Arc<Tenant>, NotOpen> {
        let slot = &self.slots[school];
        if let Ok(state) = slot.state.try_lock()
            && let State::Open(tenant) = &*state
        {
            return Ok(tenant.clone());
        }
        // In a task of its own: whoever asks may hang up, and what is half open must not be opened again beside itself.
        let (tenants, school) = (self.clone(), school.clone());
        tokio::spawn(async move { tenants.open(&school, known).await }).await.unwrap_or(Err(NotOpen::Failed))
    }

    async fn open(&self, school: &SchoolId, known: bool) -> Result<Arc<Tenant>, NotOpen> {
        let slot = &self.slots[school];
        let mut state = slot.state.lock().await;
        let now_ms = self.ground.clock.now_ms();
        match &*state {
            State::Open(tenant) => return Ok(tenant.clone()),
            State::Failed(until_ms) if now_ms < *until_ms => return Err(NotOpen::Failed),
            State::Failed(_) | State::Closed => {}
        }
        if self.stopped.load(Ordering::Relaxed) {
            return Err(NotOpen::Stopping);
        }
        if !known && !self.knocks.lock().take(now_ms) {
            return Err(NotOpen::Knocked);
        }
        let place = self.place(now_ms).await.ok_or(NotOpen::Full)?;
        match Tenant::open(&self.ground, &slot.plot, place).await {
            Ok(tenant) => {
                let tenant = Arc::new(tenant);
                *state = State::Open(tenant.clone());
                self.unfinished.lock().remove(school);
                metrics::counter!("schulhof_gateway_opened_total").increment(1);
                metrics::gauge!("schulhof_gateway_open").increment(1.0);
                Ok(tenant)
            }
            Err(error) => {
                tracing::error!(%school, "cannot be opened: {error:#}");
                *state = State::Failed(self.ground.clock.now_ms() + FAILED_PAUSE_MS);
                Err(NotOpen::Failed)
            }
        }
    }

    /// A place for one more; if there is none, that of the school which has been unused for longest.
    async fn place(&self, now_ms: u64) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return Some(place);
            }
            let before_ms = now_ms.checked_sub(UNUSED_MIN_MS.min(self.limits.idle_ms))?;
            let unused = self.open_now().into_iter().map(|tenant| (tenant.used_ms(now_ms), tenant.school().clone()));
            let mut unused: Vec<_> = unused.filter(|(used_ms, _)| *used_ms <= before_ms).collect();
            unused.sort();
            let mut closed = false;
            for (_, school) in unused {
                if self.close_unused(&school, before_ms).await {
                    closed = true;
                    break;
                }
            }
            if !closed {
                return None;
            }
        }
    }

    fn open_now(&self) -> Vec<Arc<Tenant>> {
        let open = |slot: &Slot| match &*slot.state.try_lock().ok()? {
            State::Open(tenant) => Some(tenant.clone()),
            _ => None,
        };
        self.slots.values().filter_map(open).collect()
    }

    /// Closes a school that nobody has used since then and in which nothing waits.
    async fn close_unused(&self, school: &SchoolId, before_ms: u64) -> bool {
        // Somebody opens or closes it: not unused.
        let Ok(mut state) = self.slots[school].state.clone().try_lock_owned() else { return false };
        let now_ms = self.ground.clock.now_ms();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Open(tenant) if tenant.used_ms(now_ms) <= before_ms && tenant.holds().1 == 0 => {
                match Arc::try_unwrap(tenant) {
                    Ok(tenant) => {
                        self.close(state, tenant).await;
                        true
                    }
                    Err(used) => {
                        *state = State::Open(used);
                        false
                    }
                }
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// Under the school's lock, so that nobody opens the file before it is closed.
    async fn close(&self, state: OwnedMutexGuard<State>, tenant: Tenant) {
        let school = tenant.school().clone();
        let pending = tenant.close().await;
        metrics::gauge!("schulhof_gateway_open").decrement(1.0);
        if pending == 0 {
            let (ground, of_mark) = (self.ground.clone(), school.clone());
            let finished = tokio::task::spawn_blocking(move || ground.folder.finish(&of_mark)).await;
            if let Ok(Err(error)) = finished {
                tracing::warn!(%school, %error, "the mark of an open school stays");
            }
        } else {
            tracing::warn!(%school, pending, "closed with operations that wait");
            self.unfinished.lock().insert(school);
        }
        drop(state);
    }

    /// Closes what nobody uses, opens what has something to hand over, and keeps the files within their bytes.
    pub async fn keep(self: Arc<Self>, mut stop: Stop) {
        let every = LOOK_EVERY.min(Duration::from_millis(self.limits.idle_ms.div_ceil(4)));
        let mut measured: Option<tokio::time::Instant> = None;
        loop {
            self.hand_over().await;
            if let Some(before_ms) = self.ground.clock.now_ms().checked_sub(self.limits.idle_ms) {
                for tenant in self.open_now() {
                    let school = tenant.school().clone();
                    drop(tenant);
                    self.close_unused(&school, before_ms).await;
                }
            }
            if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                measured = Some(tokio::time::Instant::now());
                self.make_room_on_disk().await;
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.ordered() => return,
            }
        }
    }

    /// Opens schools in whose files something may wait, as far as there are places.
    async fn hand_over(self: &Arc<Self>) {
        let schools: Vec<SchoolId> = self.unfinished.lock().iter().cloned().collect();
        for school in schools {
            if matches!(self.enter(&school, true).await, Err(NotOpen::Full)) {
                return;
            }
        }
    }

    /// Removes files of closed schools that nobody has used for longest.
    pub async fn make_room_on_disk(&self) {
        let ground = self.ground.clone();
        let bytes_max = self.limits.disk_bytes;
        let measured = tokio::task::spawn_blocking(move || {
            let kept = ground.folder.kept()?;
            metrics::gauge!("schulhof_gateway_disk_bytes").set(kept.iter().map(|kept| kept.bytes).sum::<u64>() as f64);
            Ok::<_, std::io::Error>(Folder::too_many(kept, bytes_max))
        });
        let gone = match measured.await {
            Ok(Ok(gone)) => gone,
            Ok(Err(error)) => return tracing::warn!(%error, "the schools' files cannot be measured"),
            Err(_) => return,
        };
        for school in gone {
            // A school that is not configured any more has no lock and needs none.
            let lock = match self.slots.get(&school).map(|slot| slot.state.clone().try_lock_owned()) {
                Some(Err(_)) => continue,
                Some(Ok(state)) if matches!(*state, State::Open(_)) => continue,
                Some(Ok(state)) => Some(state),
                None => None,
            };
            let (ground, of_file) = (self.ground.clone(), school.clone());
            match tokio::task::spawn_blocking(move || ground.folder.remove(&of_file)).await {
                Ok(Err(error)) => tracing::warn!(%school, %error, "a school's file cannot be removed"),
                _ => tracing::info!(%school, "its file went to make room"),
            }
            drop(lock);
        }
    }

    /// Closes all, for the end.
    pub async fn close_all(self: &Arc<Self>) {
        self.stopped.store(true, Ordering::Relaxed);
        let mut closing = JoinSet::new();
        for slot in self.slots.values() {
            let (tenants, state) = (self.clone(), slot.state.clone());
            closing.spawn(async move {
                let mut state = state.lock_owned().await;
                if let State::Open(tenant) = std::mem::replace(&mut *state, State::Closed)
                    // A request that has not ended by now: its answer is lost, and the mark stays.
                    && let Some(tenant) = Arc::into_inner(tenant)
                {
                    tenants.close(state, tenant).await;
                }
            });
        }
        closing.join_all().await;
    }

    pub fn now_ms(&self) -> u64 {
        self.ground.clock.now_ms()
    }

    /// Places that are taken, and the most that there are.
    pub fn places(&self) -> (usize, usize) {
        (self.limits.open_max - self.places.available_permits(), self.limits.open_max)
    }

    /// How many schools the gateway knows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Open schools; the first [`SHOWN_MAX`] by name.
    pub fn shown(&self) -> Vec<OpenSchool> {
        let now_ms = self.ground.clock.now_ms();
        let shown = self.open_now().into_iter().take(SHOWN_MAX).map(|tenant| {
            let (head, pending) = tenant.holds();
            OpenSchool {
                school: tenant.school().clone(),
                current: tenant.is_current(),
                core_online: tenant.is_online(),
                head,
                pending,
                sockets: tenant.sockets(),
                unused_ms: now_ms.saturating_sub(tenant.used_ms(now_ms)),
            }
        });
        shown.collect()
    }

    /// Open schools, those without a way to the core, and operations that wait, over all.
    pub fn sums(&self) -> (usize, usize, usize) {
        let open = self.open_now();
        let offline = open.iter().filter(|tenant| !tenant.is_online()).count();
        (open.len(), offline, open.iter().map(|tenant| tenant.holds().1).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knocks_at_many_schools_opens_few() {
        let mut knocks = Knocks::default();
        let taken = |knocks: &mut Knocks, now_ms| (0..1_000).filter(|_| knocks.take(now_ms)).count() as u64;
        assert_eq!(taken(&mut knocks, 5_000), KNOCKS_MAX);
        assert_eq!(taken(&mut knocks, 5_000 + 3 * KNOCK_EVERY_MS), 3);
        assert_eq!(taken(&mut knocks, 10_000_000), KNOCKS_MAX, "no more than that come back");
    }
}
