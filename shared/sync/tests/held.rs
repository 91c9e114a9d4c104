//! What names a blob is not sent before the core has the blob; everything else goes on.

mod world;

use schulhof_school::{Attachment, Body, MemoryKv, Operation};
use schulhof_sync::{BoxSync, Submit};
use schulhof_wire::{
    BlobHash, LogIndex,
    node::{SYNC_VERSION, ToBox, ToCore},
};
use world::{Core, found, id, op, post, school};

const BLOB: BlobHash = BlobHash([7; 32]);

fn with_blob(device: &str, seq: u64) -> Operation {
    let file = Attachment { hash: BLOB, name: "Blatt.pdf".into(), mime: "application/pdf".into(), size: 3 };
    op(device, seq, "tina", Body::MessagePost { room: id("5a"), text: String::new(), attachments: vec![file] })
}

struct Site {
    core: Core,
    confirmed: MemoryKv,
    sync: BoxSync,
}

fn up() -> Site {
    let mut core = Core::default();
    found(&mut core);
    let confirmed = core.store.clone();
    let mut sync = BoxSync::new(school(), [], &confirmed);
    sync.wait_for_blob(BLOB);
    let mut up = Site { core, confirmed, sync };
    up.welcome(0);
    up
}

impl Site {
    fn welcome(&mut self, now_ms: u64) {
        self.sync.connected(now_ms);
        let head: LogIndex = self.core.head();
        self.receive(now_ms, ToBox::Welcome { version: SYNC_VERSION, head });
    }

    fn receive(&mut self, now_ms: u64, frame: ToBox) {
        self.sync.receive(now_ms, &mut self.confirmed, frame).unwrap();
    }

    fn submit(&mut self, operation: Operation) {
        assert!(matches!(self.sync.submit(&self.confirmed, operation), Submit::Saved { .. }));
    }

    /// The next batch: its number, and device and number of each operation.
    fn batch(&mut self, now_ms: u64) -> Option<(u64, Vec<String>)> {
        match self.sync.poll_transmit(now_ms) {
            Some(ToCore::Submit { batch, operations }) => {
                let name = |encoded: &schulhof_wire::node::EncodedOperation| {
                    let operation = Operation::decode(&encoded.0).unwrap();
                    format!("{} {}", operation.device, operation.seq.0)
                };
                Some((batch, operations.iter().map(name).collect()))
            }
            Some(ToCore::Ping) | None => None,
            Some(other) => panic!("{other:?}"),
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_held_operation_keeps_back_its_own_device_alone_and_goes_when_its_blob_has_arrived() {
    let mut it = up();
    it.submit(op("d1", 1, "tina", post("5a", "before")));
    it.submit(with_blob("d1", 2));
    it.submit(op("d1", 3, "tina", post("5a", "behind")));
    it.submit(op("d2", 1, "tina", post("5a", "elsewhere")));
    let (batch, sent) = it.batch(0).unwrap();
    assert_eq!(sent, names(&["d1 1", "d2 1"]));
    it.receive(0, ToBox::Committed { batch });
    assert_eq!(it.batch(0), None);
    it.submit(op("d2", 2, "tina", post("5a", "goes on")));
    let (batch, sent) = it.batch(0).unwrap();
    assert_eq!(sent, names(&["d2 2"]));
    it.receive(0, ToBox::Committed { batch });
    it.sync.blob_arrived(&BLOB);
    assert_eq!(it.batch(0).unwrap().1, names(&["d1 2", "d1 3"]));
    assert_eq!(it.batch(0), None);
}

#[test]
fn an_operation_that_waits_does_not_make_the_box_send_again_and_again() {
    let mut it = up();
    it.submit(with_blob("d1", 1));
    assert_eq!(it.batch(0), None);
    let mut now_ms = 0;
    let mut frames = 0;
    while now_ms < 60_000 {
        now_ms = it.sync.poll_timeout().unwrap().max(now_ms + 1);
        while it.sync.poll_transmit(now_ms).is_some() {
            frames += 1;
        }
        let head = it.core.head();
        it.receive(now_ms, ToBox::Head { head });
    }
    assert!(frames < 40, "{frames} frames in a minute: pings alone are 20");
    it.sync.blob_arrived(&BLOB);
    assert_eq!(it.batch(now_ms).unwrap().1, names(&["d1 1"]));
}

#[test]
fn what_was_let_go_and_taken_back_is_sent_again_with_what_came_before_it() {
    let mut it = up();
    it.submit(with_blob("d1", 1));
    it.submit(op("d2", 1, "tina", post("5a", "other")));
    let (first, sent) = it.batch(0).unwrap();
    assert_eq!(sent, names(&["d2 1"]));
    // In flight when the blob arrives; both batches come back.
    it.sync.blob_arrived(&BLOB);
    it.submit(op("d2", 2, "tina", post("5a", "more")));
    it.receive(0, ToBox::Committed { batch: first });
    let (second, sent) = it.batch(0).unwrap();
    assert_eq!(sent, names(&["d1 1", "d2 2"]));
    it.receive(0, ToBox::Busy { batch: second, retry_after_ms: 100 });
    assert_eq!(it.batch(50), None);
    let (_, sent) = it.batch(100).unwrap();
    assert!(sent.ends_with(&names(&["d2 2"])) && sent.contains(&"d1 1".to_owned()), "{sent:?}");
    // So does everything after a new connection, but for what waits again.
    it.sync.disconnected(200, 0);
    it.welcome(300);
    let (_, sent) = it.batch(300).unwrap();
    assert_eq!(sent, names(&["d1 1", "d2 1", "d2 2"]));
}
