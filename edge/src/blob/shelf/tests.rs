use super::*;

fn recipe(bytes: &[u8]) -> Recipe {
    Recipe { blob: hash(bytes), size: bytes.len() as u64, parts: bytes.chunks(PART_LEN).map(hash).collect() }
}

fn bytes(n: u8) -> Vec<u8> {
    (0..PART_LEN + 1000).map(|at| (at / 7) as u8 ^ n).collect()
}

fn copy(shelf: &Shelf, bytes: &[u8]) -> BlobHash {
    let recipe = recipe(bytes);
    let mut copy = shelf.begin(&recipe).unwrap();
    bytes.chunks(PART_LEN).for_each(|part| copy.write(part).unwrap());
    copy.finish(&recipe).unwrap();
    shelf.kept(recipe.blob, recipe.size);
    recipe.blob
}

fn read(source: &Source) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for n in 0..source.parts() {
        bytes.extend_from_slice(&source.read(n)?);
    }
    Ok(bytes)
}

#[test]
fn copies_stay_within_their_bytes_and_the_longest_unused_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    let [a, b, c] = [1, 2, 3].map(bytes);
    let [name_a, name_b] = [&a, &b].map(|bytes| copy(&shelf, bytes));
    assert_eq!(read(&shelf.get(&name_a).unwrap().unwrap()).unwrap(), a);
    let name_c = copy(&shelf, &c);
    assert!(shelf.has(&name_a) && shelf.has(&name_c) && !shelf.has(&name_b));
    let small = copy(&shelf, b"small");
    assert!(matches!(shelf.get(&small).unwrap(), Some(Source::Small(_))));
    drop(shelf);
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(read(&shelf.get(&name_c).unwrap().unwrap()).unwrap(), c);
}

#[test]
fn a_damaged_copy_is_never_served_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 30).unwrap();
    let name = copy(&shelf, &bytes(1));
    let path = shelf.kept.join(name.to_string());
    let mut torn = fs::read(&path).unwrap();
    torn[PART_LEN + 3] ^= 1;
    fs::write(&path, &torn).unwrap();
    assert_eq!(read(&shelf.get(&name).unwrap().unwrap()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(shelf.get(&name).unwrap().is_none());
    assert_eq!(copy(&shelf, &bytes(1)), name);
    assert!(read(&shelf.get(&name).unwrap().unwrap()).is_ok());
}

#[test]
fn a_copy_can_become_what_waits_for_the_core_again() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1 << 20).unwrap();
    assert!(!shelf.wait_again(&hash(b"unknown")).unwrap());
    for bytes in [bytes(1), b"small".to_vec()] {
        let name = copy(&shelf, &bytes);
        assert!(shelf.wait_again(&name).unwrap());
        assert_eq!(shelf.waiting(), [name]);
        assert_eq!(read(&shelf.get(&name).unwrap().unwrap()).unwrap(), bytes);
        shelf.settle(&recipe(&bytes)).unwrap();
        assert!(shelf.waiting().is_empty() && shelf.has(&name));
    }
}

#[test]
fn what_the_core_does_not_have_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path(), 1).unwrap();
    let upload = folder.path().join("upload");
    fs::write(&upload, bytes(1)).unwrap();
    let name = hash(&bytes(1));
    shelf.take(&upload, name, bytes(1).len() as u64).unwrap();
    // The names of its parts are made again if they are lost.
    fs::write(parts_file(&shelf.waiting.join(name.to_string())), b"damaged").unwrap();
    drop(shelf);
    let shelf = Shelf::open(folder.path(), 1).unwrap();
    assert_eq!(shelf.waiting(), [name]);
    assert_eq!(read(&shelf.get(&name).unwrap().unwrap()).unwrap(), bytes(1));
    shelf.settle(&recipe(&bytes(1))).unwrap();
    assert!(shelf.waiting().is_empty());
    assert!(!shelf.has(&name), "as a copy it has no room here");
}
