//! Device memory that counts against a context's budget as long as it lives.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Account {
    total: Arc<AtomicU64>,
    bytes: u64,
}

impl Account {
    /// Takes charge of `bytes` already added to `total`.
    pub fn new(total: Arc<AtomicU64>, bytes: u64) -> Account {
        Account { total, bytes }
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
    _account: Account,
}

impl Buffer {
    pub(super) fn new(raw: wgpu::Buffer, account: Account) -> Buffer {
        Buffer { raw, _account: account }
    }

    pub fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }
}
