//! Memory of Mesa's software driver that is buffers and textures at once.
//!
//! A kernel writes a buffer; those that read it read a texture that lies over the same bytes. Nothing is copied. The
//! driver keeps an image with linear tiling row after row, as Vulkan says it must, runs dispatches in their order, and
//! each is done before the next begins.

use super::{buffer::Account, texture};
use crate::{
    error::{Error, ErrorKind},
    kernel::{TEXTURE_ROW, TEXTURE_ROW_BYTES, texture_rows},
};
use ash::vk;
use std::{fmt, sync::Arc};
use wgpu::hal;

type Vulkan = hal::api::Vulkan;

/// What every buffer is used for: see [`super::buffer::STORAGE`].
const USAGE: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::STORAGE_BUFFER.as_raw()
        | vk::BufferUsageFlags::TRANSFER_SRC.as_raw()
        | vk::BufferUsageFlags::TRANSFER_DST.as_raw(),
);

/// A texture has whole rows, one more or three at least, and takes memory for a multiple of four: the last one of a
/// block reaches so far beyond its buffer.
const TAIL_ROWS: u64 = 8;

/// Where a buffer may begin.
const ALIGNMENT: u64 = 256;

/// Memory of the driver, given back when all that lies in it is gone.
struct Block {
    raw: Arc<ash::Device>,
    memory: vk::DeviceMemory,
    bytes: u64,
    memory_type: u32,
    _account: Account,
    /// Lives longer than the memory, and is dropped after it is freed.
    device: wgpu::Device,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: buffers and images that lie in the memory hold the block, and wgpu holds them until the device has
        // done what uses them.
        unsafe { self.raw.free_memory(self.memory, None) };
    }
}

/// The place of a buffer in a block.
pub(super) struct Part {
    block: Arc<Block>,
    offset: u64,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part at {} of {} bytes", self.offset, self.block.bytes)
    }
}

/// A buffer until wgpu takes charge of it.
struct RawBuffer {
    raw: Arc<ash::Device>,
    buffer: vk::Buffer,
}

impl Drop for RawBuffer {
    fn drop(&mut self) {
        // SAFETY: the last that knows of the buffer drops this, when no work of the device uses it any more.
        unsafe { self.raw.destroy_buffer(self.buffer, None) };
    }
}

/// An image, which keeps its memory.
struct RawImage {
    block: Arc<Block>,
    image: vk::Image,
}

impl Drop for RawImage {
    fn drop(&mut self) {
        // SAFETY: as for buffers.
        unsafe { self.block.raw.destroy_image(self.image, None) };
    }
}

fn refused(what: &str) -> impl Fn(vk::Result) -> Error {
    let what = what.to_owned();
    move |error| {
        let kind = match error {
            vk::Result::ERROR_OUT_OF_HOST_MEMORY | vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => ErrorKind::Memory,
            _ => ErrorKind::Device,
        };
        Error::new(kind, format!("{what}: the driver refuses")).caused_by(error)
    }
}

fn not_vulkan() -> Error {
    Error::new(ErrorKind::Device, "the device is not one of Vulkan's")
}

/// Whether a device can have memory that is a buffer and a texture at once.
pub(super) fn works(device: &wgpu::Device) -> bool {
    let part = buffers(device, &[("test", 16)], Account::default()).ok().and_then(|mut made| made.pop());
    part.is_some_and(|(_, part)| is_supported(device) && part.texture(0, 16).is_ok())
}

/// Whether images with linear tiling may be read in shaders.
fn is_supported(device: &wgpu::Device) -> bool {
    // SAFETY: the guard is only asked; nothing is destroyed through it.
    let Some(hal) = (unsafe { device.as_hal::<Vulkan>() }) else { return false };
    // SAFETY: the physical device is of this instance.
    let properties = unsafe {
        hal.shared_instance().raw_instance().get_physical_device_image_format_properties(
            hal.raw_physical_device(),
            vk::Format::R32G32B32A32_SFLOAT,
            vk::ImageType::TYPE_2D,
            vk::ImageTiling::LINEAR,
            vk::ImageUsageFlags::STORAGE,
            vk::ImageCreateFlags::empty(),
        )
    };
    properties.is_ok_and(|properties| properties.max_extent.width >= TEXTURE_ROW)
}

/// Buffers with [`super::buffer::STORAGE`] usage in a block of their own. What is in them is not known.
pub(super) fn buffers(
    device: &wgpu::Device,
    wanted: &[(&str, u64)],
    account: Account,
) -> Result<Vec<(wgpu::Buffer, Part)>, Error> {
    let raw = {
        // SAFETY: the guard is only asked; nothing is destroyed through it.
        let hal = unsafe { device.as_hal::<Vulkan>() }.ok_or_else(not_vulkan)?;
        Arc::new(hal.raw_device().clone())
    };
    let (mut end, mut types) = (0, u32::MAX);
    let mut placed = Vec::with_capacity(wanted.len());
    for &(label, bytes) in wanted {
        let info = vk::BufferCreateInfo::default().size(bytes).usage(USAGE).sharing_mode(vk::SharingMode::EXCLUSIVE);
        // SAFETY: the device lives, since `device` does, and the description is complete.
        let buffer = unsafe { raw.create_buffer(&info, None) }.map_err(refused(label))?;
        let buffer = RawBuffer { raw: raw.clone(), buffer };
        // SAFETY: the buffer is of this device.
        let needs = unsafe { raw.get_buffer_memory_requirements(buffer.buffer) };
        let offset = u64::next_multiple_of(end, needs.alignment.max(ALIGNMENT));
        (end, types) = (offset + needs.size, types & needs.memory_type_bits);
        placed.push((label, bytes, buffer, offset));
    }
    let bytes = end + TAIL_ROWS * TEXTURE_ROW_BYTES;
    if types == 0 {
        return Err(Error::new(ErrorKind::Device, "the driver has no memory in which all buffers may lie"));
    }
    let memory_type = types.trailing_zeros();
    let info = vk::MemoryAllocateInfo::default().allocation_size(bytes).memory_type_index(memory_type);
    // SAFETY: each buffer may lie in memory of this type: the driver said so.
    let memory = unsafe { raw.allocate_memory(&info, None) }.map_err(refused("memory"))?;
    let block =
        Arc::new(Block { raw, memory, bytes, memory_type, _account: account.holding(bytes), device: device.clone() });
    let wrap = |(label, bytes, buffer, offset): (&str, u64, RawBuffer, u64)| {
        // SAFETY: the range is as large and aligned as the driver asks, and of no other buffer.
        unsafe { block.raw.bind_buffer_memory(buffer.buffer, block.memory, offset) }.map_err(refused(label))?;
        let (handle, kept) = (buffer.buffer, block.clone());
        let done = Box::new(move || drop((buffer, kept)));
        // SAFETY: the buffer lives until wgpu says that it is done with it.
        let hal = unsafe { hal::vulkan::Buffer::from_raw_externally_owned(handle, done) };
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: super::buffer::STORAGE,
            mapped_at_creation: false,
        };
        // SAFETY: it is of this device and as described. What is in it is written before it is read: see
        // `Context::allocate_all`.
        let buffer = unsafe { device.create_buffer_from_hal::<Vulkan>(hal, &descriptor) };
        Ok((buffer, Part { block: block.clone(), offset }))
    };
    placed.into_iter().map(wrap).collect()
}

impl Part {
    /// A texture over `bytes` from the one at `offset` of the buffer on, rows of [`TEXTURE_ROW`] vectors; the last ones
    /// reach beyond.
    pub fn texture(&self, offset: u64, bytes: u64) -> Result<wgpu::TextureView, Error> {
        const WHAT: &str = "texture";
        let (block, rows) = (&self.block, texture_rows(bytes));
        let extent = vk::Extent3D { width: TEXTURE_ROW, height: rows, depth: 1 };
        let info = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vk::Format::R32G32B32A32_SFLOAT)
            .extent(extent)
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::LINEAR)
            .usage(vk::ImageUsageFlags::STORAGE)
            .sharing_mode(vk::SharingMode::EXCLUSIVE)
            .initial_layout(vk::ImageLayout::PREINITIALIZED);
        // SAFETY: the device lives, since the block holds it, and the description is complete.
        let image = unsafe { block.raw.create_image(&info, None) }.map_err(refused(WHAT))?;
        let image = RawImage { block: block.clone(), image };
        let place = self.offset + offset;
        // SAFETY: the image is of this device, and has one level, one layer and the aspect of colour.
        let (needs, layout) = unsafe {
            let part = vk::ImageSubresource { aspect_mask: vk::ImageAspectFlags::COLOR, mip_level: 0, array_layer: 0 };
            (
                block.raw.get_image_memory_requirements(image.image),
                block.raw.get_image_subresource_layout(image.image, part),
            )
        };
        let fits = place.is_multiple_of(needs.alignment)
            && place + needs.size <= block.bytes
            && needs.memory_type_bits >> block.memory_type & 1 == 1;
        if !fits || layout.offset != 0 || layout.row_pitch != TEXTURE_ROW_BYTES {
            let message = format!("the driver does not lay {rows} rows of a texture over a buffer: {layout:?}");
            return Err(Error::new(ErrorKind::Device, message));
        }
        // SAFETY: the range is within the memory, aligned, and of a type the image may lie in.
        unsafe { block.raw.bind_image_memory(image.image, block.memory, place) }.map_err(refused(WHAT))?;
        let descriptor = texture::descriptor(rows);
        let hal_descriptor = hal::TextureDescriptor {
            label: descriptor.label,
            size: descriptor.size,
            mip_level_count: descriptor.mip_level_count,
            sample_count: descriptor.sample_count,
            dimension: descriptor.dimension,
            format: descriptor.format,
            usage: wgpu::TextureUses::STORAGE_READ_ONLY,
            memory_flags: hal::MemoryFlags::empty(),
            view_formats: Vec::new(),
        };
        let handle = image.image;
        // SAFETY: the guard is only asked; nothing is destroyed through it.
        let hal = unsafe { block.device.as_hal::<Vulkan>() }.ok_or_else(not_vulkan)?;
        // SAFETY: the image is as described, and lives until wgpu says that it is done with it.
        let texture = unsafe {
            let done = Box::new(move || drop(image));
            hal.texture_from_raw(handle, &hal_descriptor, Some(done), hal::vulkan::TextureMemory::External)
        };
        drop(hal);
        // SAFETY: it is of this device and as described. The driver has no layouts of images, so that none has to be
        // changed, and what is written to the buffer is there: the dispatch that wrote it has ended.
        let texture = unsafe {
            let state = wgpu::TextureUses::STORAGE_READ_ONLY;
            block.device.create_texture_from_hal::<Vulkan>(texture, &descriptor, state)
        };
        Ok(texture.create_view(&Default::default()))
    }
}
