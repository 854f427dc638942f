//! The one sum that every pass of a convolution is, and its dispatches: see `shaders/lib/correlation.wgsl`.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, ValueId},
    kernel::{Dispatch, Kernel, Params, Shader, Target},
    shader,
};

/// Iterations of all its loops that one thread may make.
///
/// Mesa's software driver stops a thread's loops after 65,535 in all, without a word.
const LONGEST_SUM: usize = 48_000;

/// One of the three axes: elements of y, the taps they meet, and where these lie in x.
///
/// An axis has one phase, of elements next to each other, or as many as its spread: see `shaders/lib/correlation.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Elements of y.
    size: usize,
    /// Elements of x.
    extent: usize,
    /// Elements of the window.
    taps: usize,
    offset: isize,
    dilation: usize,
    spread: usize,
    divisor: usize,
    inverse: usize,
    stride: usize,
    source_step: isize,
}

impl Axis {
    /// `size` windows of `taps` elements over `extent` elements.
    pub fn windows(
        [size, extent, taps]: [usize; 3],
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> Axis {
        let (offset, source_step) = (-(padding as isize), dilation as isize);
        Axis { size, extent, taps, offset, dilation, spread: 1, divisor: 1, inverse: 0, stride, source_step }
    }

    /// The `size` elements that `extent` windows of `taps` elements were laid over.
    pub fn covered(
        [size, extent, taps]: [usize; 3],
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> Axis {
        // Tap t of an element meets window (element + padding − t·dilation) / stride, where that is whole.
        let divisor = common_divisor(stride, dilation);
        let (tap_step, step) = (stride / divisor, dilation / divisor);
        Axis {
            size,
            extent,
            taps,
            offset: padding as isize,
            dilation,
            spread: stride,
            divisor,
            inverse: (0..tap_step).find(|i| i * step % tap_step == 1).unwrap_or(0),
            stride: 1,
            source_step: -(step as isize),
        }
    }

    /// Taps from one that a phase meets to the next.
    fn tap_step(&self) -> usize {
        self.spread / self.divisor
    }

    fn phases(&self) -> usize {
        self.spread.min(self.size).max(1)
    }

    /// Elements of the first phase, which has the most.
    fn longest(&self) -> usize {
        self.size.div_ceil(self.spread)
    }

    /// Taps that an element meets at most.
    fn most_taps(&self) -> usize {
        self.taps.div_ceil(self.tap_step())
    }

    /// Whether the source of an element with the next tap is that of the next element, 1, or of the last one, 2.
    fn slide(&self) -> u32 {
        match self.source_step {
            _ if self.most_taps() < 2 => 0,
            step if step == self.stride as isize => 1,
            step if step == -(self.stride as isize) => 2,
            _ => 0,
        }
    }

    /// Whether four neighbours that begin at a multiple of four never lie in two rows, in no phase.
    fn fills_fours(&self) -> bool {
        self.size.is_multiple_of(4 * self.spread)
    }

    /// Products of elements and taps, in all phases together.
    fn products(&self) -> usize {
        let phase = |number: usize| {
            let reach = number as isize + self.offset;
            let met = (0..self.taps).filter(|tap| (reach - (tap * self.dilation) as isize) % self.spread as isize == 0);
            met.count() * (self.size - number).div_ceil(self.spread)
        };
        if self.spread == 1 { self.size * self.taps } else { (0..self.phases().min(self.size)).map(phase).sum() }
    }

    /// Whether nothing has to be computed for it: one element meets one tap at the same place.
    fn is_single(&self) -> bool {
        self.size == 1 && self.extent == 1 && self.taps == 1 && self.offset == 0
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// y[b, k, m] = Σ x[b, c, …] · w[k, c, t], for each group of channels.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub batch: usize,
    pub groups: usize,
    pub outputs: usize,
    pub inputs: usize,
    /// Depth, rows and columns.
    pub axes: [Axis; 3],
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

/// The kernel that computes a correlation.
#[derive(Debug)]
struct Variant {
    shader: &'static Shader,
    /// Outputs and pixels of a block.
    outputs: usize,
    pixels: usize,
    /// Blocks of a workgroup, and those that keep a device busy.
    blocks: usize,
    busy: usize,
    /// Whether blocks take pixels of one row only.
    of_rows: bool,
    /// Whether it reads weights that were packed for it.
    packed: bool,
    /// Whether the innermost loop is over tap columns instead of inputs.
    columns_inside: bool,
    /// Whether it has one way to store, which parts of a sum replace, instead of two entry points.
    stores_once: bool,
    /// Whether all it stores of whole sums are vectors.
    stores_vectors: bool,
    constants: Vec<(&'static str, u32)>,
}

impl Variant {
    /// The choice between the kernels.
    fn choose(correlation: &Correlation, real: DType, target: &Target) -> Variant {
        let (outputs, columns) = (correlation.outputs, &correlation.axes[2]);
        let software = target.class.is_software();
        let general = ("GENERAL", u32::from(correlation.is_general()));
        if outputs <= 4 {
            let outputs = if outputs <= 1 { 1 } else { 4 };
            let constants = vec![general, ("OUTPUTS", outputs as u32), ("SLIDE", columns.slide())];
            let busy = if software { 1024 } else { 32_768 };
            let shader = shader!("conv/thin");
            return Variant {
                shader,
                outputs,
                pixels: 8,
                blocks: 64,
                busy,
                of_rows: true,
                packed: false,
                columns_inside: true,
                stores_once: false,
                stores_vectors: false,
                constants,
            };
        }
        if !software {
            let side = target.cooperative_side(real).map(|side| side as usize);
            let side = side.filter(|&side| correlation.fills(side));
            let shader = match side {
                Some(16) => shader!("conv/cooperative_16x16"),
                Some(_) => shader!("conv/cooperative_8x8"),
                None => shader!("conv/portable"),
            };
            return Variant {
                shader,
                outputs: side.map_or(64, |side| 4 * side),
                pixels: side.map_or(64, |side| 8 * side),
                blocks: 1,
                busy: 256,
                of_rows: false,
                packed: false,
                // Neighbouring threads load neighbouring weights.
                columns_inside: true,
                stores_once: side.is_some(),
                stores_vectors: false,
                constants: vec![general],
            };
        }
        let outputs = match outputs {
            0..=8 => 8,
            9..=16 => 16,
            _ => 32,
        };
        let slide = if columns.fills_fours() { columns.slide() } else { 0 };
        Variant {
            shader: if target.subgroups { shader!("conv/subgroup") } else { shader!("conv/software") },
            outputs,
            pixels: 32,
            blocks: 1,
            busy: 32,
            of_rows: false,
            packed: true,
            // The longer loop is inside, as those around it cost extra, unless that saves loads, which cost more.
            columns_inside: slide != 0 || columns.most_taps() > correlation.inputs,
            stores_once: false,
            stores_vectors: correlation.has_whole_vectors(),
            constants: vec![
                general,
                ("OUTPUTS", outputs as u32),
                ("SLIDE", slide),
                ("VECTORS", correlation.has_whole_vectors().into()),
            ],
        }
    }

    /// Blocks of a correlation, if its sum is not cut into parts.
    fn count(&self, correlation: &Correlation) -> usize {
        let [depth, row, column] = correlation.axes.map(|axis| axis.longest());
        let pixels = if self.of_rows {
            correlation.batch * depth * row * column.div_ceil(self.pixels)
        } else {
            (correlation.batch * depth * row * column).div_ceil(self.pixels)
        };
        let phases: usize = correlation.axes.iter().map(Axis::phases).product();
        correlation.groups * correlation.outputs.div_ceil(self.outputs) * pixels * phases
    }

    /// The kernel for whole sums or for parts of them.
    fn kernel(&self, whole: bool, real: DType) -> Kernel {
        let entry = if whole || self.stores_once { "correlation" } else { "partial_correlation" };
        let kernel = Kernel::new(self.shader, entry, real);
        let kernel = self.constants.iter().fold(kernel, |kernel, &(name, value)| kernel.constant(name, value));
        if whole || !self.stores_once { kernel } else { kernel.storing(shader!("conv/part")) }
    }
}

impl Correlation {
    fn elements(&self) -> usize {
        self.batch * self.groups * self.outputs * self.axes.iter().map(|axis| axis.size).product::<usize>()
    }

    /// Whether the kernels need what `GENERAL` switches on in `shaders/lib/correlation.wgsl`.
    fn is_general(&self) -> bool {
        !self.axes[0].is_single() || self.axes.iter().any(|axis| axis.spread > 1)
    }

    /// Whether four pixels that begin at a multiple of four are always a whole vector of y.
    fn has_whole_vectors(&self) -> bool {
        let columns = &self.axes[2];
        columns.spread == 1 && columns.size.is_multiple_of(4) && self.y_strides.iter().all(|step| step.is_multiple_of(4))
    }

    /// Whether its outputs, its pixels and its sums would each be at least half a square of a side.
    fn fills(&self, side: usize) -> bool {
        let pixels = self.batch * self.axes.iter().map(Axis::longest).product::<usize>();
        let [outer, inner] = self.steps(true);
        [self.outputs, pixels, outer * inner].iter().all(|&length| 2 * length >= side)
    }

    /// Steps of all loops but the innermost, and of that one.
    fn steps(&self, columns_inside: bool) -> [usize; 2] {
        let [depth, row, column] = self.axes.map(|axis| axis.most_taps());
        let lines = depth * row;
        if columns_inside { [lines * self.inputs, column] } else { [lines * column, self.inputs] }
    }

    /// Adds the dispatches that compute output 0 of a node from its inputs x, w and perhaps a bias.
    pub fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        self.check()?;
        let variant = Variant::choose(self, io.real(), target);
        let blocks = variant.count(self);
        let [outer, inner] = self.steps(variant.columns_inside);
        let parts = Parts::new(outer, inner, variant.busy.div_ceil(blocks.max(1)));
        let whole = parts.count() == 1;

        let weights = if variant.packed { self.pack(io, target, variant.outputs, out)? } else { self.unpacked(io) };
        let sums = if whole { io.y(0) } else { scratch([parts.count(), self.elements()], target, out)? };
        let mut dispatch = Dispatch::new(variant.kernel(whole, io.real())).read(io.x(0)).read(weights.value);
        if !variant.packed {
            dispatch = dispatch.read(bias(io));
        }
        let dispatch = dispatch
            .write(sums)
            .params(self.params(weights, parts, variant.columns_inside, has_bias(io)))
            .groups((blocks * parts.count()).div_ceil(variant.blocks) as u64)
            .cost(self.flops(), io.bytes());
        if whole {
            out.push(dispatch.finishing().storing_vectors(variant.stores_vectors));
        } else {
            out.push(dispatch);
            out.push(self.combine(io, sums, parts.count()));
        }
        Ok(())
    }

    /// Refuses what the kernels cannot count.
    fn check(&self) -> Result<(), Misfit> {
        // The kernels multiply two numbers below the step.
        const MOST: usize = 1 << 16;
        match self.axes.iter().find(|axis| axis.tap_step() > MOST) {
            None => Ok(()),
            Some(axis) => Err(Misfit::limit(format!("stride {} is more than {MOST}", axis.spread))),
        }
    }

    /// Two for each product.
    fn flops(&self) -> u64 {
        let channels = (self.batch * self.groups * self.outputs * self.inputs) as u64;
        2 * channels * self.axes.iter().map(|axis| axis.products() as u64).product::<u64>()
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
        let taps: usize = self.axes.iter().map(|axis| axis.taps).product();
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
    fn params(&self, weights: Weights, parts: Parts, columns_inside: bool, bias: bool) -> Params {
        let [depth, row, column] = self.axes;
        let [x_line, x_plane] = [column.extent, row.extent * column.extent].map(|extent| extent as isize);
        let [w_line, w_plane] = [column.taps, row.taps * column.taps].map(|taps| taps * weights.tap);
        let step = depth.source_step;
        let planes = Loop { row: 0, column: 0, x: step * x_plane, w: depth.tap_step() * w_plane };
        let inputs = Loop { row: 0, column: 0, x: self.x_strides[2] as isize, w: weights.input };
        let step = row.source_step;
        let rows = Loop { row: step, column: 0, x: step * x_line, w: row.tap_step() * w_line };
        let step = column.source_step;
        let columns = Loop { row: 0, column: step, x: step, w: column.tap_step() * weights.tap };
        let loops = if columns_inside { [planes, inputs, rows, columns] } else { [planes, rows, columns, inputs] };
        let [outer, inner] = self.steps(columns_inside);

        let mut params = Params::new();
        for Loop { row, column, x, w } in loops {
            params = params.i32(row).i32(column).i32(x).u32(w);
        }
        let mut vector = |field: fn(&Axis) -> isize| {
            params = self.axes.iter().fold(std::mem::take(&mut params), |params, axis| params.i32(field(axis))).u32(0);
        };
        vector(|axis| axis.size as isize);
        vector(|axis| axis.phases() as isize);
        vector(|axis| axis.spread as isize);
        vector(|axis| axis.extent as isize);
        vector(|axis| axis.taps as isize);
        vector(|axis| axis.offset);
        vector(|axis| axis.dilation as isize);
        vector(|axis| axis.divisor as isize);
        vector(|axis| axis.inverse as isize);
        vector(|axis| axis.tap_step() as isize);
        // The last vector is followed by numbers, which need no distance.
        params
            .all(self.axes.map(|axis| axis.stride))
            .i32(depth.source_step)
            .all([self.inputs, usize::from(!columns_inside)])
            .all([outer.div_ceil(parts.outer), inner.div_ceil(parts.inner), parts.outer, parts.count()])
            .all([self.batch, self.groups, self.outputs])
            .all([self.x_strides[0], self.x_strides[1]])
            .all([weights.group, weights.output, weights.tap])
            .all(self.y_strides)
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
