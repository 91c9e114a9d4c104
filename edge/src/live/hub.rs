//! Who is connected, and who gets which notice.

use super::Notice;
use crate::{session::SessionKey, store::Store};
use parking_lot::Mutex;
use schulhof_school::{Change, view};
use schulhof_wire::{AccountId, DeviceId, LogIndex, live::QUEUE_LEN_MAX};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
};
use tokio::sync::mpsc;

/// Sockets at once: two devices each of 4,000 people.
const SOCKETS_MAX: usize = 8_000;
/// Sockets of one account: some windows on some devices.
const PER_ACCOUNT_MAX: usize = 24;

/// A notice on its way to the sockets of those who may know.
#[derive(Debug)]
pub struct Delivery {
    pub notice: Notice,
    /// Beside each change: those of the connected who may know it.
    audiences: Vec<Arc<BTreeSet<AccountId>>>,
}

impl Delivery {
    /// The changes that an account may know.
    pub fn changes_for<'a>(&'a self, account: &'a AccountId) -> impl Iterator<Item = &'a super::Changed> {
        let pairs = self.notice.changes.iter().zip(&self.audiences);
        pairs.filter(move |(_, audience)| audience.contains(account)).map(|(changed, _)| changed)
    }
}

/// What the hub knows of a socket.
#[derive(Debug, Clone)]
pub struct Member {
    pub account: AccountId,
    pub device: Option<DeviceId>,
    pub session: SessionKey,
}

/// A socket's end. Leaves the hub when dropped.
pub struct Joined {
    hub: Arc<Hub>,
    id: u64,
    /// Ends when the socket was too slow for its queue.
    pub queue: mpsc::Receiver<Arc<Delivery>>,
}

impl Joined {
    /// The highest index up to which everything was taken from the queue, if it is empty now.
    pub fn caught_up(&self) -> Option<LogIndex> {
        // In this order: what came before the index was queued before it was written.
        let dispatched = LogIndex(self.hub.dispatched.load(Ordering::Acquire));
        self.queue.is_empty().then_some(dispatched)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.hub.members.lock().remove(self.id);
    }
}

/// All connected sockets.
#[derive(Debug, Default)]
pub struct Hub {
    members: Mutex<Members>,
    dispatched: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    sockets: HashMap<u64, (Member, mpsc::Sender<Arc<Delivery>>)>,
    by_account: HashMap<AccountId, Vec<u64>>,
    by_device: HashMap<DeviceId, Vec<u64>>,
}

impl Members {
    fn remove(&mut self, id: u64) {
        let Some((member, _)) = self.sockets.remove(&id) else { return };
        forget(&mut self.by_account, &member.account, id);
        if let Some(device) = &member.device {
            forget(&mut self.by_device, device, id);
        }
        metrics::gauge!("schulhof_edge_sockets").decrement(1.0);
    }

    /// Which sockets a delivery concerns.
    fn concerned(&self, delivery: &Delivery) -> BTreeSet<u64> {
        let notice = &delivery.notice;
        if notice.reload || notice.core_online.is_some() {
            return self.sockets.keys().copied().collect();
        }
        let accounts: BTreeSet<&AccountId> = delivery.audiences.iter().flat_map(|audience| audience.iter()).collect();
        let devices: BTreeSet<&DeviceId> = notice
            .marks
            .iter()
            .map(|marks| &marks.device)
            .chain(notice.rejected.iter().map(|own| &own.device))
            .collect();
        let by_account = accounts.into_iter().filter_map(|account| self.by_account.get(account));
        let by_device = devices.into_iter().filter_map(|device| self.by_device.get(device));
        let mut ids: BTreeSet<u64> = by_account.chain(by_device).flatten().copied().collect();
        if !notice.ended.is_empty() {
            let ended: HashSet<_> = notice.ended.iter().collect();
            ids.extend(self.sockets.iter().filter(|(_, (m, _))| ended.contains(&m.session)).map(|(id, _)| *id));
        }
        ids
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<u64>>, key: &K, id: u64) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

impl Hub {
    /// Sockets connected now.
    pub fn len(&self) -> usize {
        self.members.lock().sockets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a socket; `None` when there are too many.
    pub fn join(self: &Arc<Self>, member: Member) -> Option<Joined> {
        let mut members = self.members.lock();
        let own = members.by_account.get(&member.account).map_or(0, Vec::len);
        if members.sockets.len() >= SOCKETS_MAX || own >= PER_ACCOUNT_MAX {
            return None;
        }
        let id = members.next;
        members.next += 1;
        let (sender, queue) = mpsc::channel(QUEUE_LEN_MAX);
        members.by_account.entry(member.account.clone()).or_default().push(id);
        if let Some(device) = &member.device {
            members.by_device.entry(device.clone()).or_default().push(id);
        }
        members.sockets.insert(id, (member, sender));
        metrics::gauge!("schulhof_edge_sockets").increment(1.0);
        Some(Joined { hub: self.clone(), id, queue })
    }

    /// Takes notices until the store is gone. Runs in a thread of its own: it reads the store and never waits for a
    /// socket. `observer` sees each notice first, and must not block.
    pub fn run(&self, store: &Weak<Store>, notices: &Receiver<Notice>, observer: impl Fn(&Notice)) {
        while let Ok(notice) = notices.recv() {
            observer(&notice);
            let Some(store) = store.upgrade() else { return };
            self.dispatch(&store, notice);
        }
    }

    fn dispatch(&self, store: &Store, notice: Notice) {
        let head = notice.head;
        match self.address(store, notice) {
            Ok(Some(delivery)) => self.deliver(&Arc::new(delivery)),
            Ok(None) => {}
            Err(error) => {
                // Nobody can be told who may know. All come again, and resume by index.
                tracing::warn!(%error, "live events cannot be told, closing the sockets");
                let closed = std::mem::take(&mut *self.members.lock());
                metrics::gauge!("schulhof_edge_sockets").decrement(closed.sockets.len() as f64);
            }
        }
        self.dispatched.fetch_max(head.0, Ordering::Release);
    }

    /// Finds the audience of each change; `None` when nobody is connected.
    fn address(&self, store: &Store, notice: Notice) -> Result<Option<Delivery>, crate::store::ReadError> {
        let connected: HashSet<AccountId> = {
            let members = self.members.lock();
            if members.sockets.is_empty() {
                return Ok(None);
            }
            members.by_account.keys().cloned().collect()
        };
        let audiences = if notice.changes.is_empty() {
            Vec::new()
        } else {
            store.read(|snapshot| audiences(&snapshot.kv(), &notice, &connected))?
        };
        Ok(Some(Delivery { notice, audiences }))
    }

    fn deliver(&self, delivery: &Arc<Delivery>) {
        let mut members = self.members.lock();
        for id in members.concerned(delivery) {
            let Some((_, queue)) = members.sockets.get(&id) else { continue };
            if queue.try_send(delivery.clone()).is_err() {
                metrics::counter!("schulhof_edge_slow_sockets_total").increment(1);
                members.remove(id);
            }
        }
    }
}

fn audiences(
    kv: &impl schulhof_school::Kv,
    notice: &Notice,
    connected: &HashSet<AccountId>,
) -> Vec<Arc<BTreeSet<AccountId>>> {
    let told = |change: &Change| -> Arc<BTreeSet<AccountId>> {
        Arc::new(view::audience(kv, change).into_iter().filter(|account| connected.contains(account)).collect())
    };
    // Many messages of one commit are in few rooms.
    let mut of_room = BTreeMap::new();
    let mut audience = |change: &Change| match change {
        Change::Message { room, .. } | Change::Room { room } => {
            of_room.entry(room.clone()).or_insert_with(|| told(change)).clone()
        }
        other => told(other),
    };
    notice.changes.iter().map(|changed| audience(&changed.change)).collect()
}
