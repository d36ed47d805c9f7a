//! Decoded pixels, and the pool that lends their buffers.

use std::sync::{Arc, Mutex, Weak};

/// One decoded picture: 8-bit sRGB-as-stored, three bytes a pixel (R, G, B), rows from the top, no padding.
///
/// EXIF orientation has been applied; alpha has been dropped; ICC profiles have been ignored, except where it is what viewers draw
/// ([`Drawn`](super::clip::Drawn)).
#[derive(Debug)]
pub struct Frame {
    width: u32,
    height: u32,
    pixels: Buffer,
}

/// The buffer's length does not fit the size.
#[derive(Debug, thiserror::Error)]
#[error("a {width}x{height} RGB frame needs {needed} bytes, the buffer has {got}")]
pub struct FrameSizeError {
    width: u32,
    height: u32,
    needed: u64,
    got: usize,
}

impl Frame {
    /// A frame over `pixels`, whose length must be `3 * width * height` and not zero.
    pub fn new(width: u32, height: u32, pixels: impl Into<Buffer>) -> Result<Self, FrameSizeError> {
        let pixels = pixels.into();
        let needed = 3 * u64::from(width) * u64::from(height);
        if needed == 0 || pixels.len() as u64 != needed {
            return Err(FrameSizeError { width, height, needed, got: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Pixels along a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `3 * width * height` bytes: R, G, B, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// Bytes that go back to their [`BufferPool`] when dropped (or are simply freed when they have none).
#[derive(Debug, Default)]
pub struct Buffer {
    /// At least `length`; what an earlier, larger use left behind stays, so that no later one has to clear it.
    bytes: Vec<u8>,
    length: usize,
    home: Weak<Shelf>,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), bytes, home: Weak::new() }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(shelf) = self.home.upgrade() {
            shelf.put(std::mem::take(&mut self.bytes));
        }
    }
}

/// Keeps freed pixel buffers for reuse: a fresh 36 MB buffer costs about 20 ms of page faults, more than the choice of decoder.
///
/// Holds at most `capacity_bytes`; what does not fit is freed.
#[derive(Clone, Debug)]
pub struct BufferPool(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    capacity_bytes: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// A pool that keeps at most `capacity_bytes` of unused memory.
    pub fn new(capacity_bytes: usize) -> Self {
        Self(Arc::new(Shelf { capacity_bytes, free: Mutex::new(Vec::new()) }))
    }

    /// A buffer of exactly `length` bytes. Its content is unspecified (old pixels or zeroes): the taker writes all of it.
    pub fn take(&self, length: usize) -> Buffer {
        let mut free = self.0.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Best fit: the smallest buffer that is large enough, else the largest one (growing it beats a new one).
        let best = (0..free.len()).min_by_key(|&at| {
            let capacity = free[at].capacity();
            if capacity >= length { (0, capacity) } else { (1, usize::MAX - capacity) }
        });
        let mut bytes = best.map(|at| free.swap_remove(at)).unwrap_or_default();
        drop(free);
        if bytes.capacity() < length {
            bytes = vec![0; length]; // pages that the system hands out cleared
        } else if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Buffer { bytes, length, home: Arc::downgrade(&self.0) }
    }
}

impl Shelf {
    fn put(&self, bytes: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let held: usize = free.iter().map(Vec::capacity).sum();
        if bytes.capacity() > 0 && held + bytes.capacity() <= self.capacity_bytes {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_refuses_a_buffer_of_another_size() {
        assert!(Frame::new(2, 2, vec![0; 12]).is_ok());
        assert!(Frame::new(2, 2, vec![0; 11]).is_err());
        assert!(Frame::new(0, 2, vec![]).is_err());
    }

    #[test]
    fn a_buffer_is_not_cleared_for_its_next_use() {
        let pool = BufferPool::new(100);
        pool.take(80).fill(7);
        assert_eq!(pool.take(60).len(), 60);
        assert_eq!(*pool.take(80), [7; 80]);
    }

    #[test]
    fn a_buffer_comes_back_until_the_pool_is_full() {
        let pool = BufferPool::new(100);
        let first = pool.take(80);
        let address = first.as_ptr();
        drop(first);
        let again = pool.take(60);
        assert_eq!(again.as_ptr(), address);
        let other = pool.take(80);
        drop((again, other));
        let held: usize = pool.0.free.lock().unwrap().iter().map(Vec::capacity).sum();
        assert!(held <= 100, "{held}");
    }
}
