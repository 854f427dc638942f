//! Textures that software drivers read in place of buffers, far sooner.

use crate::kernel::TEXTURE_ROW;

/// Vectors of four numbers. Textures that are sampled have levels, which cost half as much again to read.
pub(super) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// A texture of rows of vectors.
pub(super) fn descriptor(rows: u32) -> wgpu::TextureDescriptor<'static> {
    wgpu::TextureDescriptor {
        label: Some("texture"),
        size: wgpu::Extent3d { width: TEXTURE_ROW, height: rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: FORMAT,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    }
}
