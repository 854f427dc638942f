//! The one sum that every pass of a convolution is, and its dispatches: see `shaders/lib/correlation.wgsl`.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, ValueId},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// Iterations of all its loops that one thread may make.
///
/// Mesa's software driver stops a thread's loops after 65,535 in all, without a word.
const LONGEST_SUM: usize = 48_000;

/// One direction of a plane, or one phase of it: elements of y that meet the same taps.
///
/// Element `i` of `count` is `first + i·step` in y, and its tap `t` of `taps`, which is
/// `tap_first + t·tap_step` in the window, meets `i·stride + start + t·source_step` in x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    count: usize,
    first: usize,
    step: usize,
    taps: usize,
    tap_first: usize,
    tap_step: usize,
    stride: usize,
    start: isize,
    source_step: isize,
}

impl Axis {
    /// Windows of `taps` elements.
    pub fn windows(count: usize, taps: usize, stride: usize, padding: usize, dilation: usize) -> Axis {
        let (start, source_step) = (-(padding as isize), dilation as isize);
        Axis { count, first: 0, step: 1, taps, tap_first: 0, tap_step: 1, stride, start, source_step }
    }

    /// The `size` elements that windows were laid over, by what is left when dividing by the stride.
    pub fn phases(size: usize, taps: usize, stride: usize, padding: usize, dilation: usize) -> Vec<Axis> {
        let phase = |first: usize| {
            // Tap t meets window (first + padding − t·dilation) / stride, where that is whole.
            let window = |tap: usize| (first + padding) as isize - (tap * dilation) as isize;
            let mut meeting = (0..taps).filter(|&tap| window(tap) % stride as isize == 0);
            let tap_first = meeting.next();
            let tap_step = meeting.next().zip(tap_first).map_or(taps, |(second, first)| second - first);
            let count = tap_first.map_or(0, |first| (taps - first).div_ceil(tap_step));
            let tap_first = tap_first.unwrap_or(0);
            Axis {
                count: (size - first).div_ceil(stride),
                first,
                step: stride,
                taps: count,
                tap_first,
                tap_step,
                stride: 1,
                start: window(tap_first) / stride as isize,
                source_step: -((tap_step * dilation / stride) as isize),
            }
        };
        (0..stride.min(size)).map(phase).collect()
    }
}

/// y[b, k, m] = Σ x[b, c, …] · w[k, c, t], for each group of channels.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub batch: usize,
    pub groups: usize,
    pub outputs: usize,
    pub inputs: usize,
    /// The phases of rows and of columns; every pair of them is computed.
    pub axes: [Vec<Axis>; 2],
    pub x_plane: [usize; 2],
    pub window: [usize; 2],
    pub y_plane: [usize; 2],
    /// Elements between neighbours in the batch, groups and inputs.
    pub x_strides: [usize; 3],
    /// Elements between neighbouring groups, outputs and inputs.
    pub w_strides: [usize; 3],
    /// Elements between neighbours in the batch, groups and outputs.
    pub y_strides: [usize; 3],
}

/// How the sum of one element of y is cut into pieces that run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    taps: usize,
    inputs: usize,
}

impl Parts {
    fn count(self) -> usize {
        self.taps * self.inputs
    }

    /// `wanted` parts of at least 256 products each, and as many more as keep loops below the limit.
    fn new(taps: usize, inputs: usize, wanted: usize) -> Parts {
        let wanted = wanted.min(taps * inputs / 256).max(1);
        let mut parts = Parts { taps: wanted.min(taps.max(1)), inputs: 1 };
        parts.inputs = wanted / parts.taps;
        let longest = |parts: Parts| taps.div_ceil(parts.taps) * (inputs.div_ceil(parts.inputs) + 1);
        while longest(parts) > LONGEST_SUM {
            if parts.taps < taps {
                parts.taps = (2 * parts.taps).min(taps);
            } else {
                parts.inputs *= 2;
            }
        }
        parts
    }
}

/// How a kernel divides the work: outputs and pixels of one workgroup, and how many workgroups keep a device busy.
struct Shape {
    outputs: usize,
    pixels: usize,
    busy: usize,
}

impl Correlation {
    fn taps(&self) -> usize {
        self.window[0] * self.window[1]
    }

    fn elements(&self) -> usize {
        self.batch * self.groups * self.outputs * self.y_plane[0] * self.y_plane[1]
    }

    fn phases(&self) -> impl Iterator<Item = [Axis; 2]> + '_ {
        self.axes[0].iter().flat_map(|&row| self.axes[1].iter().map(move |&column| [row, column]))
    }

    /// Adds the dispatches that compute output 0 from inputs x (0) and w (1), or for a gradient of weights (x, dy).
    pub fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let software = target.class.is_software();
        let shape = match (software, self.outputs) {
            (true, 0..=8) => Shape { outputs: 8, pixels: 64, busy: 32 },
            (true, 9..=16) => Shape { outputs: 16, pixels: 64, busy: 32 },
            (true, _) => Shape { outputs: 32, pixels: 64, busy: 32 },
            (false, _) => Shape { outputs: 64, pixels: 64, busy: 256 },
        };
        let blocks = self.groups * self.outputs.div_ceil(shape.outputs);
        let groups = |[row, column]: [Axis; 2]| blocks * (self.batch * row.count * column.count).div_ceil(shape.pixels);
        let fewest = self.phases().map(groups).max().unwrap_or(0).max(1);
        let most_taps = self.phases().map(|[row, column]| row.taps * column.taps).max().unwrap_or(0);
        let parts = Parts::new(most_taps, self.inputs, shape.busy.div_ceil(fewest));

        let real = io.real();
        let kernel = |entry| match (software, target.subgroups) {
            (false, _) => Kernel::new(shader!("conv/portable"), entry, real),
            (true, false) => Kernel::new(shader!("conv/software"), entry, real).constant("OUTPUTS", shape.outputs as u32),
            (true, true) => Kernel::new(shader!("conv/subgroup"), entry, real).constant("OUTPUTS", shape.outputs as u32),
        };
        let weights = if software { self.pack(io, target, shape.outputs, out)? } else { io.x(1) };
        let sums = match parts.count() {
            1 => io.y(0),
            count => scratch([count, self.elements()], target, out)?,
        };
        let products: usize = self.phases().map(|[row, column]| row.count * row.taps * column.count * column.taps).sum();
        let flops = 2 * (self.batch * self.groups * self.outputs * self.inputs) as u64 * products as u64;
        let phases = self.phases().count().max(1) as u64;
        for axes in self.phases() {
            let entry = if parts.count() == 1 { "correlation" } else { "partial_correlation" };
            let dispatch = Dispatch::new(kernel(entry))
                .read(io.x(0))
                .read(weights)
                .write(sums)
                .params(self.params(axes, parts))
                .groups((groups(axes) * parts.count()) as u64)
                .cost(flops / phases, io.bytes() / phases);
            out.push(if parts.count() == 1 { dispatch.finishing() } else { dispatch });
        }
        if parts.count() > 1 {
            let Some(axes) = self.phases().next() else { return Ok(()) };
            let elements = self.elements() as u64;
            let dispatch = Dispatch::new(Kernel::new(shader!("conv/combine"), "combine", real))
                .read(sums)
                .write(io.y(0))
                .params(self.params(axes, parts))
                .groups(elements.div_ceil(64))
                .cost(elements * parts.count() as u64, elements * (4 * parts.count() + real.bytes()) as u64)
                .finishing();
            out.push(dispatch);
        }
        Ok(())
    }

    /// Adds the dispatch that lays the weights of `outputs` outputs side by side.
    fn pack(&self, io: &Io, target: &Target, outputs: usize, out: &mut Emit) -> Result<ValueId, Misfit> {
        const PAIRS: usize = 16;
        let blocks = self.groups * self.outputs.div_ceil(outputs);
        let pairs = self.taps() * self.inputs;
        let packed = scratch([blocks * pairs, outputs], target, out)?;
        let Some(axes) = self.phases().next() else { return Ok(packed) };
        let threads = blocks * pairs.div_ceil(PAIRS) * outputs / 4;
        let bytes = blocks * pairs * outputs * 4;
        let dispatch = Dispatch::new(Kernel::new(shader!("conv/pack"), "pack", io.real()).constant("OUTPUTS", outputs as u32))
            .read(io.x(1))
            .write(packed)
            .params(self.params(axes, Parts { taps: 1, inputs: 1 }))
            .groups(threads.div_ceil(64) as u64)
            .cost(0, io.x_desc(1).bytes() + bytes as u64);
        out.push(dispatch);
        Ok(packed)
    }

    /// The fields of `Correlation` in `shaders/lib/correlation.wgsl`.
    fn params(&self, [row, column]: [Axis; 2], parts: Parts) -> Params {
        let width = self.window[1];
        let [y_batch, y_group, y_output] = self.y_strides;
        let y_width = self.y_plane[1];
        let taps = row.taps * column.taps;
        Params::new()
            .all([self.batch, self.groups, self.outputs, self.inputs])
            .all([row.count, column.count, taps, column.taps])
            .all(self.x_plane)
            .all([row.stride, column.stride])
            .i32(row.start)
            .i32(column.start)
            .i32(row.source_step)
            .i32(column.source_step)
            .all(self.x_strides)
            .all(self.w_strides)
            .u32(self.taps())
            .all([row.tap_first * width + column.tap_first, row.tap_step * width, column.tap_step])
            .all([row.first * y_width + column.first, y_batch, y_group, y_output, row.step * y_width, column.step])
            .all([parts.taps, taps.div_ceil(parts.taps), self.inputs.div_ceil(parts.inputs), parts.count()])
            .u32(self.elements())
    }
}

/// An `f32` value between dispatches, which one binding has to cover.
fn scratch(shape: [usize; 2], target: &Target, out: &mut Emit) -> Result<ValueId, Misfit> {
    let desc = TensorDesc::new(shape, DType::F32);
    if desc.bytes() > target.max_binding_bytes {
        let limit = target.max_binding_bytes;
        return Err(Misfit::limit(format!("needs {} bytes between its kernels, one binding of this device covers {limit}", desc.bytes())));
    }
    Ok(out.scratch(desc))
}
