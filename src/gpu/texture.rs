//! Textures that hold what a buffer holds, for software drivers, which read them far sooner.

use super::buffer::Account;
use crate::kernel::{TEXTURE_ROW, TEXTURE_ROW_BYTES};

/// Vectors of four numbers. Textures that are sampled have levels, which cost half as much again to read.
pub(super) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// A texture that the library made.
#[derive(Debug)]
pub(crate) struct Texture {
    raw: wgpu::Texture,
    view: wgpu::TextureView,
    _account: Account,
}

impl Texture {
    pub(super) fn new(raw: wgpu::Texture, account: Account) -> Texture {
        let view = raw.create_view(&Default::default());
        Texture { raw, view, _account: account }
    }

    pub fn view(&self) -> &wgpu::TextureView {
        &self.view
    }

    /// Records a copy of a range of a buffer, a multiple of 16 bytes, to the texture's beginning.
    pub fn fill(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: u64, bytes: u64) {
        let (rows, rest) = (bytes / TEXTURE_ROW_BYTES, bytes % TEXTURE_ROW_BYTES);
        let mut copy = |row: u64, width: u32, height: u32| {
            let offset = offset + row * TEXTURE_ROW_BYTES;
            let layout = wgpu::TexelCopyBufferLayout {
                offset,
                bytes_per_row: Some(TEXTURE_ROW_BYTES as u32),
                rows_per_image: None,
            };
            let destination = wgpu::TexelCopyTextureInfo {
                texture: &self.raw,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y: row as u32, z: 0 },
                aspect: wgpu::TextureAspect::All,
            };
            let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
            encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, destination, size);
        };
        if rows > 0 {
            copy(0, TEXTURE_ROW, rows as u32);
        }
        if rest > 0 {
            copy(rows, (rest / 16) as u32, 1);
        }
    }
}

/// A texture of rows of vectors.
pub(super) fn create(device: &wgpu::Device, rows: u32) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some("texture"),
        size: wgpu::Extent3d { width: TEXTURE_ROW, height: rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    })
}
