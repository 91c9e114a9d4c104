//! Frames on a stream: postcard behind its length as u32 big endian, bounded before a byte of it is kept.

use bytes::{Buf, BytesMut};
use schulhof_wire::node::FRAME_LEN_MAX;
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// Length prefix.
const PREFIX_LEN: usize = 4;
/// A buffer that a large frame has grown is given back when it is empty.
const BUFFER_KEEP_LEN: usize = 256 * 1024;

/// Why a frame was not read or written. The stream is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {len} bytes; at most {max} are allowed")]
    TooLong { len: usize, max: usize },
    #[error("a frame cannot be decoded: {0}")]
    Malformed(postcard::Error),
    #[error("a message cannot be encoded: {0}")]
    Encode(postcard::Error),
    #[error("the stream ended inside a frame")]
    Cut,
    #[error("reading failed: {0}")]
    Read(#[from] quinn::ReadError),
    #[error("writing failed: {0}")]
    Write(#[from] quinn::WriteError),
}

impl FrameError {
    /// Whether the peer broke the rules, and not merely the line.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Malformed(_))
    }
}

/// Writes frames of one type.
#[derive(Debug)]
pub struct FrameWriter<T> {
    stream: quinn::SendStream,
    buffer: Vec<u8>,
    message: PhantomData<fn(&T)>,
}

impl<T: Serialize> FrameWriter<T> {
    pub fn new(stream: quinn::SendStream) -> Self {
        Self { stream, buffer: Vec::new(), message: PhantomData }
    }

    /// Writes one frame; waits while the peer reads slowly. Not cancel-safe: a dropped call may leave half a frame.
    pub async fn write(&mut self, message: &T) -> Result<(), FrameError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&[0; PREFIX_LEN]);
        let mut buffer = postcard::to_extend(message, buffer).map_err(FrameError::Encode)?;
        let len = buffer.len() - PREFIX_LEN;
        if len > FRAME_LEN_MAX {
            return Err(FrameError::TooLong { len, max: FRAME_LEN_MAX });
        }
        buffer[..PREFIX_LEN].copy_from_slice(&(len as u32).to_be_bytes());
        self.stream.write_all(&buffer).await?;
        if buffer.capacity() <= BUFFER_KEEP_LEN {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Says that no more frames come. Those written are still delivered.
    pub fn finish(&mut self) {
        // Already finished or stopped by the peer: nothing left to say.
        let _ = self.stream.finish();
    }

    /// Waits until the peer has got everything or does not want it.
    pub async fn delivered(&mut self) {
        self.finish();
        let _ = self.stream.stopped().await;
    }
}

/// Reads frames of one type.
#[derive(Debug)]
pub struct FrameReader<T> {
    stream: quinn::RecvStream,
    /// What was read and not yet decoded: less than one frame and one chunk of the stream.
    buffer: BytesMut,
    len_max: usize,
    message: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> FrameReader<T> {
    pub fn new(stream: quinn::RecvStream) -> Self {
        Self::with_limit(stream, FRAME_LEN_MAX)
    }

    /// For doors whose messages are small.
    pub fn with_limit(stream: quinn::RecvStream, len_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), len_max: len_max.min(FRAME_LEN_MAX), message: PhantomData }
    }

    /// The next frame; `None` when the peer has finished at a frame's end. Cancel-safe: nothing read is lost.
    pub async fn read(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            let wanted = match self.frame_len()? {
                Some(len) if self.buffer.len() >= PREFIX_LEN + len => return self.take(len).map(Some),
                Some(len) => PREFIX_LEN + len - self.buffer.len(),
                None => PREFIX_LEN - self.buffer.len(),
            };
            // A little more than wanted saves calls when frames are small.
            match self.stream.read_chunk(wanted.max(BUFFER_KEEP_LEN), true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FrameError::Cut),
            }
        }
    }

    /// The announced length, once the prefix is there; checked before anything is kept for it.
    fn frame_len(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > self.len_max {
            return Err(FrameError::TooLong { len, max: self.len_max });
        }
        Ok(Some(len))
    }

    fn take(&mut self, len: usize) -> Result<T, FrameError> {
        self.buffer.advance(PREFIX_LEN);
        let frame = self.buffer.split_to(len);
        let (message, rest) = postcard::take_from_bytes(&frame).map_err(FrameError::Malformed)?;
        if !rest.is_empty() {
            return Err(FrameError::Malformed(postcard::Error::DeserializeBadEncoding));
        }
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_KEEP_LEN {
            self.buffer = BytesMut::new();
        }
        Ok(message)
    }
}
