//! openraft's own suite over our log and state: what Raft relies on.

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use schulhof_core::{
    log::{GroupLog, Log, Options},
    raft::types::{Group, TypeConfig},
    state::{Machine, Store},
};
use std::sync::Arc;
use tempfile::TempDir;

const GROUP: Group = Group(1);

struct Builder;

/// A new log and a new state each time; the guard keeps their folder.
impl StoreBuilder<TypeConfig, GroupLog, Machine, (TempDir, Log)> for Builder {
    async fn build(&self) -> Result<((TempDir, Log), GroupLog, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        // Nothing stays in memory that is on disk.
        let options = Options { segment_len: 64 << 10, cached_len_max: 0 };
        let log = Log::open(&dir.path().join("log"), [GROUP], options).unwrap();
        let store = Arc::new(Store::open(&dir.path().join("state.redb"), GROUP, 8 << 20).unwrap());
        let group = log.group(GROUP);
        let machine = Machine::new(store, dir.path().to_owned());
        Ok(((dir, log), group, machine))
    }
}

#[test]
fn log_and_state_keep_what_raft_relies_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Suite::test_all(Builder)).unwrap();
}
