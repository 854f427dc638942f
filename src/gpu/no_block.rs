//! Where Mesa's software driver is not: no memory is buffers and textures at once.

use super::buffer::Account;
use crate::error::Error;

/// There is none.
#[derive(Debug)]
pub(super) enum Part {}

pub(super) fn works(_device: &wgpu::Device) -> bool {
    false
}

pub(super) fn buffers(
    _device: &wgpu::Device,
    _wanted: &[(&str, u64)],
    _account: Account,
) -> Result<Vec<(wgpu::Buffer, Part)>, Error> {
    Ok(Vec::new())
}

impl Part {
    pub fn texture(&self, _offset: u64, _bytes: u64) -> Result<wgpu::TextureView, Error> {
        match *self {}
    }
}
