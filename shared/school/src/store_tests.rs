use super::*;
use schulhof_testkit::Rng;

fn collect(store: &impl Kv, from: &[u8], to: &[u8], descending: bool, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    store.scan(from, to, descending, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        found.len() < limit
    });
    found
}

#[test]
fn an_overlay_reads_like_a_store_that_was_written_to() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut base = MemoryKv::default();
        for _ in 0..rng.below(30) {
            base.put(&[rng.below(20) as u8, rng.below(3) as u8], &[rng.below(250) as u8]);
        }
        let untouched = base.clone();
        let mut model = base.clone();
        let mut changes = Changes::default();
        let mut overlay = Overlay { base: &base, changes: &mut changes };
        for _ in 0..rng.below(30) {
            let key = [rng.below(20) as u8, rng.below(3) as u8];
            if rng.chance(1, 3) {
                overlay.delete(&key);
                model.delete(&key);
            } else {
                let value = [rng.below(250) as u8];
                overlay.put(&key, &value);
                model.put(&key, &value);
            }
        }
        let layered = Layered { base: &base, changes: &changes };
        for _ in 0..20 {
            let (from, to) = ([rng.below(21) as u8], [rng.below(21) as u8]);
            for descending in [false, true] {
                let limit = 1 + rng.below(10) as usize;
                assert_eq!(
                    collect(&layered, &from, &to, descending, limit),
                    collect(&model, &from, &to, descending, limit),
                    "seed {seed}"
                );
            }
            let key = [rng.below(20) as u8, rng.below(3) as u8];
            assert_eq!(layered.get(&key), model.get(&key), "seed {seed}");
        }
        assert_eq!(base, untouched, "seed {seed}");
    }
}

#[test]
fn a_released_operation_leaves_only_what_later_ones_wrote() {
    let base = MemoryKv::default();
    let mut changes = Changes::default();
    let write = |changes: &mut Changes, pairs: &[(&[u8], &[u8])]| {
        let mut scratch = Changes::default();
        let layered = Layered { base: &base, changes };
        let mut overlay = Overlay { base: &layered, changes: &mut scratch };
        for (key, value) in pairs {
            overlay.put(key, value);
            overlay.put(key, value);
        }
        changes.absorb(scratch)
    };
    let first = write(&mut changes, &[(b"counter", b"1"), (b"first", b"x")]);
    write(&mut changes, &[(b"counter", b"2"), (b"second", b"y")]);
    for key in first {
        changes.release(&key);
    }
    let left: Vec<_> = changes.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(left, vec![(b"counter".to_vec(), Some(b"2".to_vec())), (b"second".to_vec(), Some(b"y".to_vec()))]);
}
