//! Planes of one to three dimensions, and windows over them.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::Io,
    kernel::{Dispatch, Kernel, Params, Shader, Target},
};

/// Iterations of all its loops that one thread may make on Mesa's software driver, which stops them without a word.
const MOST_ITERATIONS: usize = 65_000;

/// A tensor as planes of depth × height × width: `[planes, depth, height, width]`, 1 for what it has not.
pub(super) fn planes(shape: &Shape, dims: usize) -> [usize; 4] {
    let (outer, inner) = shape.split_at(shape.rank() - dims);
    let [depth, height, width] = three(inner, 1);
    [outer.iter().product(), depth, height, width]
}

/// The values of up to three dimensions along depth, rows and columns, `missing` for those before.
fn three(values: &[usize], missing: usize) -> [usize; 3] {
    std::array::from_fn(|i| (i + values.len()).checked_sub(3).map_or(missing, |at| values[at]))
}

/// The dispatch with a thread for each `fours` times four neighbours in the planes that it writes by `store_four`.
pub(super) fn writing(mut dispatch: Dispatch, [planes, depth, height, width]: [usize; 4], fours: usize) -> Dispatch {
    let whole = width.is_multiple_of(4);
    dispatch.kernel = dispatch.kernel.constant("WHOLE", whole.into()).constant("FOURS", fours as u32);
    let threads = planes * depth * height * width.div_ceil(4 * fours);
    dispatch.groups(threads.div_ceil(64) as u64).storing_vectors(whole)
}

/// A kernel that imports `planes`, for planes of so many dimensions.
pub(super) fn kernel(shader: &'static Shader, entry: &'static str, io: &Io, dims: usize) -> Kernel {
    Kernel::new(shader, entry, io.real()).constant("SOLID", (dims == 3).into())
}

/// The element type of the first input.
pub(super) fn float_of(inputs: &[TensorDesc]) -> Result<DType, Misfit> {
    let dtype = inputs[0].dtype;
    if dtype.is_float() {
        Ok(dtype)
    } else {
        Err(Misfit::dtype(format!("needs floating point numbers, not {}", inputs[0])))
    }
}

/// Refuses shapes that are not images of so many dimensions with at least one element in each.
pub(super) fn images(x: &Shape, dims: usize) -> Result<(), Misfit> {
    if x.rank() != dims + 1 && x.rank() != dims + 2 {
        let names = ["L", "H, W", "D, H, W"][dims - 1];
        return Err(Misfit::shape(format!("needs x [N, C, {names}] or [C, {names}], not {x}")));
    }
    if x[x.rank() - dims..].contains(&0) {
        return Err(Misfit::shape(format!("needs at least one element in each plane, not {x}")));
    }
    Ok(())
}

/// Refuses loops of a thread, one in the other, that a software driver would not finish.
pub(super) fn finishes(target: &Target, what: &str, [depth, rows, columns]: [usize; 3]) -> Result<(), Misfit> {
    let iterations = depth.saturating_mul(rows.saturating_mul(columns.saturating_add(1)).saturating_add(1));
    if target.class.is_software() && iterations > MOST_ITERATIONS {
        let reason = format!("{what} makes a thread loop {iterations} times");
        return Err(Misfit::limit(format!("{reason}, this driver stops it after {MOST_ITERATIONS}")));
    }
    Ok(())
}

/// Windows over planes of `dims` dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub dims: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sliding { kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3], dilation: [usize; 3], ceil_mode: bool },
    Adaptive { size: [usize; 3] },
}

impl Windows {
    /// The rows of windows in a plane that slide and have few elements: worth a pipeline of their own,
    /// because a software driver runs their loops ten times as fast when it can unroll them.
    pub fn small_rows(&self) -> Option<usize> {
        match self.kind {
            Kind::Sliding { kernel: [_, rows, columns], .. } if self.dims < 3 && rows * columns <= 9 => Some(rows),
            _ => None,
        }
    }

    /// A kernel that imports `near`: it reads lines as vectors on software drivers where four windows side by side lie
    /// within four elements before the first one and twelve from it on, and knows the columns of small windows.
    pub fn reading_near(&self, kernel: Kernel, [.., width]: [usize; 4], target: &Target) -> Kernel {
        let Kind::Sliding { kernel: [.., columns], stride: [.., step], padding: [.., before], dilation, .. } =
            self.kind
        else {
            return kernel;
        };
        let is_near = before <= 4 && before < columns && 3 * step + columns - before <= 12 && dilation[2] == 1;
        let is_near = is_near && target.class.is_software();
        let kernel = match is_near || self.small_rows().is_some() {
            true => kernel.constant("COLUMNS", columns as u32),
            false => kernel,
        };
        if !is_near {
            return kernel;
        }
        let kernel = kernel.constant("STEP", step as u32).constant("BEFORE", before as u32);
        kernel.constant("WHOLE_ROWS", width.is_multiple_of(4).into())
    }

    /// Windows that slide over padded planes; [`checked`](Windows::checked) says whether the numbers fit.
    pub fn sliding<const D: usize>(
        kernel: [usize; D],
        stride: [usize; D],
        padding: [usize; D],
        dilation: [usize; D],
        ceil_mode: bool,
    ) -> Windows {
        let kind = Kind::Sliding {
            kernel: three(&kernel, 1),
            stride: three(&stride, 1),
            padding: three(&padding, 0),
            dilation: three(&dilation, 1),
            ceil_mode,
        };
        Windows { dims: D, kind }
    }

    /// So many windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉.
    pub fn adaptive<const D: usize>(size: [usize; D]) -> Windows {
        Windows { dims: D, kind: Kind::Adaptive { size: three(&size, 1) } }
    }

    /// Refuses numbers that make no windows.
    pub fn checked(&self) -> Result<(), Misfit> {
        let Kind::Sliding { kernel, stride, padding, dilation, .. } = &self.kind else { return Ok(()) };
        let shown = |values: &[usize; 3]| format!("{:?}", &values[3 - self.dims..]);
        let (window, steps, apart) = (shown(kernel), shown(stride), shown(dilation));
        if [kernel, stride, dilation].into_iter().any(|values| values.contains(&0)) {
            let reason = format!("window {window}, stride {steps} and dilation {apart} must be at least 1");
            return Err(Misfit::shape(reason));
        }
        const LARGEST: usize = 1 << 24;
        let values = [kernel, stride, dilation, padding].into_iter().flatten().copied();
        if values.max().is_some_and(|value| value > LARGEST) || (0..3).any(|axis| self.reach(axis) > LARGEST) {
            let reason = format!("window {window}, stride {steps}, dilation {apart} and padding {}", shown(padding));
            return Err(Misfit::shape(format!("{reason} must be at most {LARGEST}")));
        }
        Ok(())
    }

    /// Refuses padding of more than half a window, as PyTorch does for pooling.
    pub fn padded_by_half(&self) -> Result<(), Misfit> {
        let Kind::Sliding { padding, .. } = &self.kind else { return Ok(()) };
        for (axis, &padding) in padding.iter().enumerate() {
            if padding > self.reach(axis) / 2 {
                return Err(Misfit::shape(format!("padding {padding} is more than half of {}", self.window(axis))));
            }
        }
        Ok(())
    }

    /// What messages call the window along an axis.
    fn window(&self, axis: usize) -> String {
        match &self.kind {
            Kind::Sliding { kernel, dilation, .. } if dilation[axis] > 1 => {
                format!("window {} with dilation {}", kernel[axis], dilation[axis])
            }
            Kind::Sliding { kernel, .. } => format!("window {}", kernel[axis]),
            Kind::Adaptive { size } => format!("one of {} windows", size[axis]),
        }
    }

    /// The elements from the first to the last of a window along an axis.
    fn reach(&self, axis: usize) -> usize {
        match &self.kind {
            Kind::Sliding { kernel, dilation, .. } => (kernel[axis] - 1) * dilation[axis] + 1,
            Kind::Adaptive { .. } => 1,
        }
    }

    /// How many windows there are along each of the last dimensions.
    pub fn count(&self, x: &Shape) -> Result<[usize; 3], Misfit> {
        let [_, n @ ..] = planes(x, self.dims);
        let mut count = [1; 3];
        for axis in 3 - self.dims..3 {
            count[axis] = match &self.kind {
                Kind::Adaptive { size } => {
                    let (n, o) = (n[axis] as u64, size[axis] as u64);
                    if (o + 4) * (n + 1) > u64::from(u32::MAX) || (n + 4) * (o + 1) > u64::from(u32::MAX) {
                        return Err(Misfit::limit(format!("{o} windows over {n} elements are too many")));
                    }
                    size[axis]
                }
                Kind::Sliding { stride, padding, ceil_mode, .. } => {
                    let (stride, padding) = (stride[axis], padding[axis]);
                    let extra = if *ceil_mode { stride - 1 } else { 0 };
                    let Some(room) = (n[axis] + 2 * padding + extra).checked_sub(self.reach(axis)) else {
                        let window = self.window(axis);
                        let reason = format!("{window} does not fit {} with padding {padding}", n[axis]);
                        return Err(Misfit::shape(reason));
                    };
                    let count = room / stride + 1;
                    // The last window begins in the plane or in the padding before it.
                    if *ceil_mode && (count - 1) * stride >= n[axis] + padding { count - 1 } else { count }
                }
            };
        }
        Ok(count)
    }

    /// The shape of one value for each window.
    pub fn output(&self, x: &Shape) -> Result<Shape, Misfit> {
        self.checked()?;
        self.padded_by_half()?;
        images(x, self.dims)?;
        let count = self.count(x)?;
        let outer = &x[..x.rank() - self.dims];
        Ok(outer.iter().chain(&count[3 - self.dims..]).copied().collect())
    }

    /// The most elements of a window of n along each axis, and how far four neighbours reach in a row.
    pub fn longest(&self, n: [usize; 3]) -> ([usize; 3], usize) {
        match &self.kind {
            Kind::Sliding { kernel, stride, .. } => (*kernel, 3 * stride[2] + kernel[2]),
            Kind::Adaptive { size } => {
                let longest = |axis: usize| n[axis].div_ceil(size[axis].max(1)) + 1;
                ([0, 1, 2].map(longest), (4 * n[2]).div_ceil(size[2].max(1)) + 1)
            }
        }
    }

    /// Whether neighbouring windows in a row overlap or touch.
    pub fn touch(&self) -> bool {
        match &self.kind {
            Kind::Sliding { kernel, stride, .. } => stride[2] <= kernel[2],
            Kind::Adaptive { .. } => true,
        }
    }

    /// The most windows that one element lies in; along rows, that four neighbours lie in.
    pub fn covering(&self, n: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| {
            let neighbours = if axis == 2 { 4 } else { 1 };
            match &self.kind {
                Kind::Sliding { stride, .. } => (self.reach(axis) + neighbours - 1).div_ceil(stride[axis]),
                Kind::Adaptive { size } => (neighbours * size[axis]).div_ceil(n[axis]) + 1,
            }
        })
    }

    /// A kernel that imports `windows`.
    pub fn kernel(&self, shader: &'static Shader, entry: &'static str, io: &Io) -> Kernel {
        let adaptive = matches!(self.kind, Kind::Adaptive { .. });
        kernel(shader, entry, io, self.dims).constant("ADAPTIVE", adaptive.into())
    }

    /// The uniform structure of `windows`, for elements and windows as planes.
    pub fn params(&self, x: [usize; 4], y: [usize; 4]) -> Params {
        let [_, n @ ..] = x;
        let (stride, padding, dilation) = match &self.kind {
            Kind::Sliding { stride, padding, dilation, .. } => (*stride, *padding, *dilation),
            Kind::Adaptive { .. } => ([1; 3], [0; 3], [1; 3]),
        };
        let params = Params::new().all(x).all(y);
        let params = [self.longest(n).0, stride, padding, dilation].into_iter().fold(params, |p, v| p.all(v).u32(0));
        params.all(self.covering(n))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::testing::Numbers;

    /// `of` the elements of each of `size` windows that share the last dimensions out, in row-major order.
    pub fn over_shares(x: &Numbers, size: &[usize], of: impl Fn(&[f64]) -> f64) -> Numbers {
        let outer = x.shape().rank() - size.len();
        let (planes, n) = x.shape().split_at(outer);
        Numbers::from_fn([planes, size].concat(), |y| {
            let begin: Vec<usize> = (0..size.len()).map(|d| y[outer + d] * n[d] / size[d]).collect();
            let end = |d: usize| ((y[outer + d] + 1) * n[d]).div_ceil(size[d]);
            let length: Vec<usize> = (0..size.len()).map(|d| end(d) - begin[d]).collect();
            let window = Numbers::from_fn(length, |r| {
                let place = r.iter().zip(&begin).map(|(r, begin)| r + begin);
                x.at(&y[..outer].iter().copied().chain(place).collect::<Vec<_>>())
            });
            of(window.data())
        })
    }
}
