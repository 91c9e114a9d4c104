//! One stream: hello, then requests, each answered in its order.

use super::{BlobDoor, Who};
use crate::{
    door::count_refused,
    objects::{Found, ObjectError, check},
};
use schulhof_net::quic::{FrameError, FrameReader, FrameWriter};
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{FromBlob, KEYS_MAX, ObjectKey, PART_LEN, Recipe, Space, ToBlob, VERSION},
};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Whoever opens a stream says hello at once.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// A stream on which nothing is asked for this long ends.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// A peer that takes no answer for this long is given up.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// When a majority of the nodes cannot be reached: an election's time.
const BUSY_RETRY_MS: u32 = 1_000;
/// When the disk is full: somebody has to make room.
const FULL_RETRY_MS: u32 = 30_000;

/// How a stream ends.
enum End {
    Refused(FromBlob),
    Gone,
}

fn refused(code: &str, detail: impl Into<String>) -> FromBlob {
    FromBlob::Refused { code: code.into(), detail: detail.into() }
}

fn end(code: &str, detail: impl Into<String>) -> End {
    End::Refused(refused(code, detail))
}

/// Runs the stream; returns whether the peer was refused.
pub async fn run(door: &BlobDoor, who: &Who, send: quinn::SendStream, receive: quinn::RecvStream) -> bool {
    let mut reader = FrameReader::new(receive);
    let mut writer = FrameWriter::new(send);
    match converse(door, who, &mut reader, &mut writer).await {
        Ok(()) | Err(End::Gone) => {
            writer.finish();
            false
        }
        Err(End::Refused(frame)) => {
            if let FromBlob::Refused { code, detail } = &frame {
                count_refused(code);
                tracing::warn!(?who, code, detail, "refused at the blob door");
            }
            let farewell = async {
                if writer.write(&frame).await.is_ok() {
                    writer.delivered().await;
                }
            };
            let _ = timeout(Duration::from_secs(1), farewell).await;
            true
        }
    }
}

fn read(frame: Result<Option<ToBlob>, FrameError>) -> Result<Option<ToBlob>, End> {
    frame.map_err(|e| if e.is_malformed() { end("malformed", e.to_string()) } else { End::Gone })
}

async fn converse(
    door: &BlobDoor,
    who: &Who,
    reader: &mut FrameReader<ToBlob>,
    writer: &mut FrameWriter<FromBlob>,
) -> Result<(), End> {
    let hello = match timeout(HELLO_MAX, reader.read()).await {
        Ok(frame) => read(frame)?,
        Err(_) => return Err(end("malformed", "no hello came")),
    };
    let Some(ToBlob::Hello { version, school }) = hello else {
        return Err(end("malformed", "the first frame must be a hello"));
    };
    if version != VERSION {
        return Err(end("version", format!("this core speaks version {VERSION}, not {version}")));
    }
    if let Who::Box(own) = who
        && *own != school
    {
        return Err(end("wrong-school", format!("the certificate is for {own}, not {school}")));
    }
    if *who != Who::Core && !(door.known)(&school) {
        return Err(end("unknown-school", format!("{school} is not served here")));
    }
    say(writer, &FromBlob::Welcome { version: VERSION }).await?;
    let shelf = Shelf { door, school: &school };
    loop {
        let Ok(frame) = timeout(IDLE_MAX, reader.read()).await else { return Ok(()) };
        let Some(request) = read(frame)? else { return Ok(()) };
        let answer = if may(who, &request) {
            shelf.answer(request).await?
        } else {
            return Err(end("wrong-role", format!("{who:?} may not ask that")));
        };
        say(writer, &answer).await?;
    }
}

async fn say(writer: &mut FrameWriter<FromBlob>, frame: &FromBlob) -> Result<(), End> {
    match timeout(WRITE_MAX, writer.write(frame)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(End::Gone),
    }
}

fn may(who: &Who, request: &ToBlob) -> bool {
    match request {
        ToBlob::Hello { .. } => true,
        ToBlob::Has { .. } | ToBlob::Put { .. } | ToBlob::Commit { .. } | ToBlob::Stat { .. } | ToBlob::Get { .. } => {
            *who != Who::Core
        }
        ToBlob::PutObject { .. } | ToBlob::GetObject { .. } | ToBlob::HasObjects { .. } | ToBlob::List { .. } => {
            matches!(who, Who::Core | Who::Operator)
        }
        ToBlob::Condemn { .. } | ToBlob::Spare { .. } | ToBlob::Remove { .. } => *who == Who::Core,
    }
}

/// A school's objects, as a stream asks for them.
struct Shelf<'a> {
    door: &'a BlobDoor,
    school: &'a SchoolId,
}

impl Shelf<'_> {
    fn key(&self, space: Space, hash: BlobHash) -> ObjectKey {
        ObjectKey { school: self.school.clone(), space, hash }
    }

    async fn answer(&self, request: ToBlob) -> Result<FromBlob, End> {
        let objects = &self.door.objects;
        Ok(match request {
            ToBlob::Hello { .. } => return Err(end("malformed", "a second hello")),
            ToBlob::Has { parts } => {
                bounded(parts.len())?;
                let keys: Vec<ObjectKey> = parts.into_iter().map(|part| self.key(Space::Part, part)).collect();
                let promised = |(key, there): (&ObjectKey, bool)| there && objects.promise([key]);
                match objects.has(&keys).await {
                    Ok(has) => FromBlob::Has { has: keys.iter().zip(has).map(promised).collect() },
                    Err(e) => failed(&e),
                }
            }
            ToBlob::Put { part, bytes } => self.put(part, bytes).await,
            ToBlob::Commit { recipe } => self.commit(recipe).await,
            ToBlob::Stat { blob } => self.stat(blob).await,
            ToBlob::Get { part } => match objects.get(&self.key(Space::Part, part)).await {
                Ok(bytes) => FromBlob::Bytes { bytes: bytes.into() },
                Err(e) => failed(&e),
            },
            ToBlob::PutObject { key, bytes } => {
                objects.put_here(&key, bytes.into()).await.map_or_else(|e| failed(&e), |()| FromBlob::Kept)
            }
            ToBlob::GetObject { key } => match objects.get_here(&key).await {
                Ok(Found::Whole(bytes)) => FromBlob::Bytes { bytes: bytes.into() },
                Ok(Found::Damaged | Found::Nothing) => FromBlob::Missing { parts: vec![key.hash] },
                Err(e) => failed(&e),
            },
            ToBlob::HasObjects { keys } => {
                bounded(keys.len())?;
                let mut has = Vec::with_capacity(keys.len());
                for key in &keys {
                    match objects.written(key).await {
                        Ok(written) => has.push(written.is_some()),
                        Err(e) => return Ok(failed(&e)),
                    }
                }
                FromBlob::Has { has }
            }
            ToBlob::Condemn { ref keys } | ToBlob::Spare { ref keys } | ToBlob::Remove { ref keys } => {
                bounded(keys.len())?;
                objects.sweep(&request).await.map_or_else(|e| failed(&e), |has| FromBlob::Has { has })
            }
            ToBlob::List { space, after } => match objects.local().page(space, self.school, after, KEYS_MAX).await {
                Ok(hashes) => FromBlob::Keys { hashes },
                Err(source) => failed(&ObjectError::Unlisted { school: self.school.clone(), source }),
            },
        })
    }

    async fn stat(&self, blob: BlobHash) -> FromBlob {
        let key = self.key(Space::Blob, blob);
        match self.door.objects.get(&key).await.map(|bytes| check::unseal(&bytes)) {
            Ok(Some(recipe)) if self.promise(key, &recipe) => FromBlob::Recipe { recipe },
            Ok(Some(_)) => FromBlob::Missing { parts: vec![blob] },
            Ok(None) => refused("damaged", format!("the recipe of {blob} is unreadable")),
            Err(e) => failed(&e),
        }
    }

    /// A blob is there with all of its parts, and stays for now.
    fn promise(&self, blob: ObjectKey, recipe: &Recipe) -> bool {
        let keys: Vec<_> = recipe.parts.iter().map(|part| self.key(Space::Part, *part)).chain([blob]).collect();
        self.door.objects.promise(&keys)
    }

    async fn put(&self, part: BlobHash, bytes: Vec<u8>) -> FromBlob {
        if bytes.len() > PART_LEN {
            return refused("too-large", format!("a part of {} bytes; at most {PART_LEN} are allowed", bytes.len()));
        }
        if check::hash(&bytes) != part {
            return refused("wrong-hash", format!("the bytes are not those of {part}"));
        }
        if !(self.door.room)() {
            return FromBlob::Busy { retry_after_ms: FULL_RETRY_MS };
        }
        if !self.door.unfinished.admit(self.school, part, bytes.len() as u64, Instant::now()) {
            return refused("too-much-unfinished", format!("{} has too many uploads that are not whole", self.school));
        }
        let put = self.door.objects.put(&self.key(Space::Part, part), bytes.into()).await;
        put.map_or_else(|e| failed(&e), |()| FromBlob::Kept)
    }

    /// A blob is what its name says, or there is none: all parts are read once.
    async fn commit(&self, recipe: Recipe) -> FromBlob {
        if !recipe.is_sound() {
            return refused("too-large", format!("{} parts for {} bytes", recipe.parts.len(), recipe.size));
        }
        let objects = &self.door.objects;
        let mut hasher = blake3::Hasher::new();
        let mut missing = Vec::new();
        for (n, &part) in recipe.parts.iter().enumerate() {
            let key = self.key(Space::Part, part);
            if !objects.promise([&key]) {
                missing.push(part);
                continue;
            }
            match objects.get(&key).await {
                Ok(bytes) if bytes.len() != recipe.part_len(n) => {
                    return refused("wrong-hash", format!("part {n} has {} bytes", bytes.len()));
                }
                Ok(bytes) => {
                    hasher.update(&bytes);
                }
                Err(ObjectError::Missing(_) | ObjectError::Damaged { .. }) => missing.push(part),
                Err(e) => return failed(&e),
            }
        }
        if !missing.is_empty() {
            missing.truncate(KEYS_MAX);
            return FromBlob::Missing { parts: missing };
        }
        if hasher.finalize().as_bytes() != &recipe.blob.0 {
            return refused("wrong-hash", format!("the parts do not make {}", recipe.blob));
        }
        match objects.put(&self.key(Space::Blob, recipe.blob), check::seal(&recipe).into()).await {
            Ok(()) => {
                self.door.unfinished.finished(self.school, &recipe);
                FromBlob::Kept
            }
            Err(e) => failed(&e),
        }
    }
}

fn bounded(keys: usize) -> Result<(), End> {
    if keys > KEYS_MAX { Err(end("malformed", format!("{keys} keys; at most {KEYS_MAX} are allowed"))) } else { Ok(()) }
}

/// What to say of an object that could not be kept or given.
fn failed(error: &ObjectError) -> FromBlob {
    match error {
        ObjectError::Missing(key) => FromBlob::Missing { parts: vec![key.hash] },
        ObjectError::Damaged { .. } => {
            tracing::error!("{error}");
            refused("damaged", error.to_string())
        }
        ObjectError::WrongHash(_) => refused("wrong-hash", error.to_string()),
        ObjectError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            tracing::error!("the disk is full: {error}");
            FromBlob::Busy { retry_after_ms: FULL_RETRY_MS }
        }
        ObjectError::Unavailable { .. } | ObjectError::Unlisted { .. } | ObjectError::Io { .. } => {
            tracing::warn!("{error}");
            FromBlob::Busy { retry_after_ms: BUSY_RETRY_MS }
        }
    }
}
