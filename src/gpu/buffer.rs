//! Device memory that counts against a context's budget as long as it lives.

use super::block::Part;
use crate::error::Error;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What the buffers of variables and activations are used for.
pub(super) const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Account {
    total: Arc<AtomicU64>,
    bytes: u64,
}

impl Account {
    /// Takes charge of `bytes` already added to `total`.
    pub fn new(total: Arc<AtomicU64>, bytes: u64) -> Account {
        Account { total, bytes }
    }

    /// Takes `bytes` more.
    pub fn holding(mut self, bytes: u64) -> Account {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        self
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A buffer the library made.
#[derive(Debug)]
pub(crate) struct Buffer {
    raw: wgpu::Buffer,
    part: Option<Part>,
    _account: Account,
}

impl Buffer {
    pub(super) fn new(raw: wgpu::Buffer, part: Option<Part>, account: Account) -> Buffer {
        Buffer { raw, part, _account: account }
    }

    pub fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Whether it can be read as a texture.
    pub fn has_textures(&self) -> bool {
        self.part.is_some()
    }

    /// A texture that lies over a range; none where the memory is a buffer only.
    pub fn texture(&self, offset: u64, bytes: u64) -> Result<Option<wgpu::TextureView>, Error> {
        self.part.as_ref().map(|part| part.texture(offset, bytes)).transpose()
    }
}
