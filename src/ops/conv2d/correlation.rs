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

/// A loop of the sum: what one of its steps adds to the source's row and column, to the place in x and in w.
#[derive(Clone, Copy, Debug)]
struct Loop {
    count: usize,
    row: isize,
    column: isize,
    x: isize,
    w: usize,
}

/// How the weights lie in memory, in the units the kernel counts them in.
#[derive(Clone, Copy, Debug)]
struct Weights {
    value: ValueId,
    group: usize,
    output: usize,
    input: usize,
    tap: usize,
}

/// How the sum of one element of y is cut into pieces that run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    outer: usize,
    inner: usize,
}

impl Parts {
    fn count(self) -> usize {
        self.outer * self.inner
    }

    /// `wanted` parts of at least 256 products each, and as many more as keep loops below the limit, of a sum with
    /// so many steps of its outer loops and of its inner one.
    fn new(outer: usize, inner: usize, wanted: usize) -> Parts {
        let wanted = wanted.min(outer * inner / 256).max(1);
        let mut parts = Parts { outer: wanted.min(outer.max(1)), inner: 1 };
        parts.inner = wanted / parts.outer;
        let longest = |parts: Parts| outer.div_ceil(parts.outer) * (inner.div_ceil(parts.inner) + 1);
        while longest(parts) > LONGEST_SUM {
            if parts.outer < outer {
                parts.outer = (2 * parts.outer).min(outer);
            } else {
                parts.inner *= 2;
            }
        }
        parts
    }
}

/// The work of one workgroup, and how many workgroups keep a device busy.
struct Tile {
    outputs: usize,
    pixels: usize,
    busy: usize,
}

impl Tile {
    fn new(outputs: usize, software: bool) -> Tile {
        match (software, outputs) {
            (true, 0..=8) => Tile { outputs: 8, pixels: 32, busy: 32 },
            (true, 9..=16) => Tile { outputs: 16, pixels: 32, busy: 32 },
            (true, _) => Tile { outputs: 32, pixels: 32, busy: 32 },
            (false, _) => Tile { outputs: 64, pixels: 64, busy: 256 },
        }
    }

    fn kernel(&self, entry: &'static str, io: &Io, target: &Target) -> Kernel {
        let shader = match (target.class.is_software(), target.subgroups) {
            (false, _) => return Kernel::new(shader!("conv/portable"), entry, io.real()),
            (true, false) => shader!("conv/software"),
            (true, true) => shader!("conv/subgroup"),
        };
        Kernel::new(shader, entry, io.real()).constant("OUTPUTS", self.outputs as u32)
    }
}

impl Correlation {
    fn elements(&self) -> usize {
        self.batch * self.groups * self.outputs * self.y_plane[0] * self.y_plane[1]
    }

    fn phases(&self) -> impl Iterator<Item = [Axis; 2]> + '_ {
        self.axes[0].iter().flat_map(|&row| self.axes[1].iter().map(move |&column| [row, column]))
    }

    fn most_taps(&self) -> [usize; 2] {
        [0, 1].map(|axis: usize| self.axes[axis].iter().map(|axis| axis.taps).max().unwrap_or(0))
    }

    /// Whether the innermost loop is over tap columns. On software drivers it is the longer one, as the loops around
    /// it cost extra; on others neighbouring threads shall load neighbouring weights.
    fn columns_inside(&self, software: bool) -> bool {
        !software || self.most_taps()[1] > self.inputs
    }

    /// Adds the dispatches that compute output 0 of a node from its inputs x, w and perhaps a bias.
    pub fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let software = target.class.is_software();
        let tile = Tile::new(self.outputs, software);
        let blocks = self.groups * self.outputs.div_ceil(tile.outputs);
        let groups = |[row, column]: [Axis; 2]| blocks * (self.batch * row.count * column.count).div_ceil(tile.pixels);
        let fewest = self.phases().map(groups).max().unwrap_or(0).max(1);
        let [tap_rows, tap_columns] = self.most_taps();
        let (outer, inner) = if self.columns_inside(software) {
            (self.inputs * tap_rows, tap_columns)
        } else {
            (tap_rows * tap_columns, self.inputs)
        };
        let parts = Parts::new(outer, inner, tile.busy.div_ceil(fewest));
        let whole = parts.count() == 1;

        let weights = if software { self.pack(io, target, tile.outputs, out)? } else { self.unpacked(io) };
        let sums = if whole { io.y(0) } else { scratch([parts.count(), self.elements()], target, out)? };
        let entry = if whole { "correlation" } else { "partial_correlation" };
        let phases = self.phases().count().max(1) as u64;
        for axes in self.phases() {
            let mut dispatch = Dispatch::new(tile.kernel(entry, io, target)).read(io.x(0)).read(weights.value);
            if !software {
                dispatch = dispatch.read(bias(io));
            }
            let dispatch = dispatch
                .write(sums)
                .params(self.params(axes, weights, parts, software, has_bias(io)))
                .groups((groups(axes) * parts.count()) as u64)
                .cost(self.flops(axes), io.bytes() / phases);
            out.push(if whole { dispatch.finishing() } else { dispatch });
        }
        if !whole {
            out.push(self.combine(io, sums, parts.count()));
        }
        Ok(())
    }

    /// Two for each product of a phase.
    fn flops(&self, axes: [Axis; 2]) -> u64 {
        let products = axes.map(|axis| (axis.count * axis.taps) as u64);
        2 * (self.batch * self.groups * self.outputs * self.inputs) as u64 * products[0] * products[1]
    }

    /// The dispatch that adds the parts of the sum.
    fn combine(&self, io: &Io, sums: ValueId, parts: usize) -> Dispatch {
        let elements = self.elements();
        Dispatch::new(Kernel::new(shader!("conv/combine"), "combine", io.real()))
            .read(sums)
            .write(io.y(0))
            .params(Params::new().all([elements, parts]))
            .groups(elements.div_ceil(64) as u64)
            .cost((elements * parts) as u64, (elements * (4 * parts + io.real().bytes())) as u64)
            .finishing()
    }

    /// The weights as they are.
    fn unpacked(&self, io: &Io) -> Weights {
        let [group, output, input] = self.w_strides;
        Weights { value: io.x(1), group, output, input, tap: 1 }
    }

    /// Adds the dispatch that lays the weights of `outputs` outputs side by side, and the bias behind them.
    fn pack(&self, io: &Io, target: &Target, outputs: usize, out: &mut Emit) -> Result<Weights, Misfit> {
        const ROWS: usize = 16;
        let blocks = self.outputs.div_ceil(outputs);
        let taps = self.window[0] * self.window[1];
        let rows = taps * self.inputs + 1;
        let value = scratch([self.groups * blocks * rows, outputs], target, out)?;
        let threads = self.groups * blocks * rows.div_ceil(ROWS) * outputs / 4;
        let params = Params::new()
            .all([self.groups, self.outputs, self.inputs, taps])
            .all(self.w_strides)
            .u32(usize::from(has_bias(io)));
        let bytes = self.groups * blocks * rows * outputs * 4;
        let kernel = Kernel::new(shader!("conv/pack"), "pack", io.real()).constant("OUTPUTS", outputs as u32);
        let dispatch = Dispatch::new(kernel)
            .read(io.x(1))
            .read(bias(io))
            .write(value)
            .params(params)
            .groups(threads.div_ceil(64) as u64)
            .cost(0, io.x_desc(1).bytes() + bytes as u64);
        out.push(dispatch);
        Ok(Weights { value, group: blocks * rows, output: rows, input: 1, tap: self.inputs })
    }

    /// The fields of `Correlation` in `shaders/lib/correlation.wgsl`.
    fn params(&self, [row, column]: [Axis; 2], weights: Weights, parts: Parts, software: bool, bias: bool) -> Params {
        let (x_width, y_width) = (self.x_plane[1] as isize, self.y_plane[1]);
        let tap_row = weights.tap * self.window[1];
        let inputs = Loop { count: self.inputs, row: 0, column: 0, x: self.x_strides[2] as isize, w: weights.input };
        let step = row.source_step;
        let rows = Loop { count: row.taps, row: step, column: 0, x: step * x_width, w: row.tap_step * tap_row };
        let step = column.source_step;
        let columns = Loop { count: column.taps, row: 0, column: step, x: step, w: column.tap_step * weights.tap };
        let loops = if self.columns_inside(software) { [inputs, rows, columns] } else { [rows, columns, inputs] };
        let [outer, middle, inner] = loops.map(|one| one.count);

        let mut params = Params::new();
        for Loop { row, column, x, w, .. } in loops {
            params = params.i32(row).i32(column).i32(x).u32(w);
        }
        params
            .all([outer, middle, inner])
            .all([(outer * middle).div_ceil(parts.outer), inner.div_ceil(parts.inner), parts.outer, parts.count()])
            .all([self.batch, self.groups, self.outputs, row.count, column.count])
            .all(self.x_plane)
            .all([row.stride, column.stride])
            .i32(row.start)
            .i32(column.start)
            .all([self.x_strides[0], self.x_strides[1]])
            .all([weights.group, weights.output, row.tap_first * tap_row + column.tap_first * weights.tap])
            .u32(row.first * y_width + column.first)
            .all(self.y_strides)
            .all([row.step * y_width, column.step])
            .all([self.elements(), usize::from(bias)])
    }
}

fn has_bias(io: &Io) -> bool {
    io.inputs.len() > 2
}

/// The bias; where there is none the kernels bind the weights in its place, and are told.
fn bias(io: &Io) -> ValueId {
    io.x(if has_bias(io) { 2 } else { 1 })
}

/// An `f32` value between dispatches, which one binding has to cover.
fn scratch(shape: [usize; 2], target: &Target, out: &mut Emit) -> Result<ValueId, Misfit> {
    let desc = TensorDesc::new(shape, DType::F32);
    let (bytes, limit) = (desc.bytes(), target.max_binding_bytes);
    if bytes > limit {
        let reason = format!("needs {bytes} bytes between its kernels, one binding of this device covers {limit}");
        return Err(Misfit::limit(reason));
    }
    Ok(out.scratch(desc))
}
