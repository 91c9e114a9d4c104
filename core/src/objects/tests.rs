use super::*;
use parking_lot::Mutex;
use schulhof_wire::{BlobHash, SchoolId, blob::Recipe, blob::Space};
use std::{collections::BTreeMap, path::PathBuf};

/// Three nodes' folders without a network between them.
struct Cluster {
    dir: tempfile::TempDir,
    down: Mutex<Vec<NodeName>>,
}

struct Others {
    cluster: Arc<Cluster>,
    own: NodeName,
    locals: BTreeMap<NodeName, Local>,
}

impl Others {
    fn reach(&self, node: &NodeName) -> Result<Local, String> {
        if self.cluster.down.lock().contains(node) { Err("down".into()) } else { Ok(self.locals[node].clone()) }
    }
}

impl Replicas for Others {
    fn others(&self) -> Vec<NodeName> {
        self.locals.keys().filter(|name| **name != self.own).cloned().collect()
    }

    fn put(&self, to: NodeName, key: ObjectKey, bytes: Bytes) -> BoxFuture<'static, Result<(), String>> {
        let local = self.reach(&to);
        Box::pin(async move { local?.put(&key, bytes).await.map_err(|e| e.to_string()) })
    }

    fn get(&self, from: NodeName, key: ObjectKey) -> BoxFuture<'static, Result<Option<Bytes>, String>> {
        let local = self.reach(&from);
        Box::pin(async move {
            match local?.get(&key).await.map_err(|e| e.to_string())? {
                Found::Whole(bytes) => Ok(Some(bytes)),
                Found::Damaged | Found::Nothing => Ok(None),
            }
        })
    }

    fn has(&self, at: NodeName, keys: Vec<ObjectKey>) -> BoxFuture<'static, Result<Vec<bool>, String>> {
        let local = self.reach(&at);
        Box::pin(async move {
            let local = local?;
            let mut has = Vec::new();
            for key in keys {
                has.push(local.written(&key).await.map_err(|e| e.to_string())?.is_some());
            }
            Ok(has)
        })
    }
}

fn name(n: u32) -> NodeName {
    NodeName::new(format!("core-{n}")).unwrap()
}

impl Cluster {
    fn new() -> Arc<Self> {
        Arc::new(Self { dir: tempfile::tempdir().unwrap(), down: Mutex::default() })
    }

    fn folder(&self, n: u32) -> PathBuf {
        self.dir.path().join(name(n).as_str())
    }

    fn node(self: &Arc<Self>, n: u32) -> Objects {
        let locals = (1..=3).map(|n| (name(n), Local::folder(&self.folder(n).join("objects")).unwrap())).collect();
        let others = Others { cluster: self.clone(), own: name(n), locals };
        Objects::open(&Config::default(), &self.folder(n)).unwrap().replicated(Arc::new(others))
    }

    fn file(&self, n: u32, key: &ObjectKey) -> PathBuf {
        let hash = key.hash.to_string();
        let (space, school) = (key.space.as_str(), key.school.as_str());
        self.folder(n).join("objects").join(space).join(school).join(&hash[..2]).join(hash)
    }
}

fn school() -> SchoolId {
    SchoolId::new("nord").unwrap()
}

fn part(bytes: &[u8]) -> ObjectKey {
    ObjectKey { school: school(), space: Space::Part, hash: check::hash(bytes) }
}

#[tokio::test]
async fn a_put_counts_when_a_majority_has_it() {
    let cluster = Cluster::new();
    let one = cluster.node(1);
    cluster.down.lock().push(name(3));
    let key = part(b"hello");
    one.put(&key, Bytes::from_static(b"hello")).await.unwrap();
    assert!(cluster.file(1, &key).exists() && cluster.file(2, &key).exists() && !cluster.file(3, &key).exists());
    cluster.down.lock().push(name(2));
    let error = one.put(&part(b"world"), Bytes::from_static(b"world")).await.unwrap_err();
    assert!(matches!(error, ObjectError::Unavailable { nodes: 1, needed: 2, .. }), "{error}");
    assert!(error.is_passing());
}

#[tokio::test]
async fn a_node_that_lacks_an_object_asks_the_others_and_keeps_it() {
    let cluster = Cluster::new();
    let key = part(b"hello");
    cluster.down.lock().push(name(3));
    cluster.node(1).put(&key, Bytes::from_static(b"hello")).await.unwrap();
    cluster.down.lock().clear();
    assert_eq!(cluster.node(3).has(std::slice::from_ref(&key)).await.unwrap(), [true]);
    assert_eq!(cluster.node(3).get(&key).await.unwrap(), "hello");
    assert!(cluster.file(3, &key).exists());
}

#[tokio::test]
async fn a_flipped_byte_is_mended_from_another_node_or_refused_by_name() {
    let cluster = Cluster::new();
    let (one, key) = (cluster.node(1), part(b"hello"));
    one.put(&key, Bytes::from_static(b"hello")).await.unwrap();
    one.put(&key, Bytes::from_static(b"hello")).await.unwrap();
    std::fs::write(cluster.file(1, &key), b"hellp").unwrap();
    assert_eq!(one.get(&key).await.unwrap(), "hello");
    assert_eq!(std::fs::read(cluster.file(1, &key)).unwrap(), b"hello", "mended");
    for n in 1..=3 {
        let _ = std::fs::create_dir_all(cluster.file(n, &key).parent().unwrap());
        std::fs::write(cluster.file(n, &key), b"hellp").unwrap();
    }
    let error = one.get(&key).await.unwrap_err();
    assert!(matches!(&error, ObjectError::Damaged { key: named } if *named == key), "{error}");
    assert!(error.to_string().contains(&key.hash.to_string()) && error.to_string().contains("nord"), "{error}");
}

#[tokio::test]
async fn what_a_silent_node_may_have_is_not_called_missing() {
    let cluster = Cluster::new();
    let one = cluster.node(1);
    assert!(matches!(one.get(&part(b"x")).await, Err(ObjectError::Missing(_))));
    cluster.down.lock().push(name(2));
    assert!(matches!(one.get(&part(b"x")).await, Err(ObjectError::Unavailable { .. })));
}

#[tokio::test]
async fn bytes_that_are_not_what_the_name_says_are_not_taken() {
    let cluster = Cluster::new();
    let wrong = cluster.node(1).put(&part(b"hello"), Bytes::from_static(b"other")).await;
    assert!(matches!(wrong, Err(ObjectError::WrongHash(_))));
    let recipe = Recipe { blob: BlobHash([7; 32]), size: 5, parts: vec![part(b"hello").hash] };
    let key = ObjectKey { school: school(), space: Space::Blob, hash: recipe.blob };
    let mut sealed = check::seal(&recipe);
    cluster.node(1).put(&key, sealed.clone().into()).await.unwrap();
    assert_eq!(check::unseal(&cluster.node(1).get(&key).await.unwrap()), Some(recipe));
    sealed[40] ^= 1;
    assert!(matches!(cluster.node(1).put(&key, sealed.into()).await, Err(ObjectError::WrongHash(_))));
}

#[tokio::test]
async fn pages_list_all_of_one_school_in_order() {
    let cluster = Cluster::new();
    let one = cluster.node(1);
    let other = ObjectKey { school: SchoolId::new("nord-2").unwrap(), ..part(b"other") };
    one.put(&other, Bytes::from_static(b"other")).await.unwrap();
    let mut hashes = Vec::new();
    for n in 0..25_u8 {
        one.put(&part(&[n]), Bytes::from(vec![n])).await.unwrap();
        hashes.push(part(&[n]).hash);
    }
    hashes.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = one.local().page(Space::Part, &school(), after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, hashes);
    let remove = ToBlob::Remove { keys: vec![part(&[0])] };
    assert_eq!(one.sweep(&remove).await.unwrap(), [false], "not condemned");
    one.clock().skip(uses::PROMISE);
    for _ in 0..2 {
        assert_eq!(one.sweep(&ToBlob::Condemn { keys: vec![part(&[0])] }).await.unwrap(), [true]);
        assert_eq!(one.sweep(&remove).await.unwrap(), [true], "also when it is gone");
    }
    assert!(one.written(&part(&[0])).await.unwrap().is_none());
}
