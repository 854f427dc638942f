//! append_rows: cache[b, h, at[b] + t] ← x[b, h, t]; exchange_rows: cache[b] ← cache[source[b]]; both in place: keys and
//! values of tokens already seen.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Graph, Io, Op, Pointwise, Tensor},
    kernel::{Arg, Dispatch, Kernel, Params, Target},
    shader,
};

/// Inputs cache, x and at.
#[derive(Debug)]
struct AppendRows;

impl Op for AppendRows {
    fn name(&self) -> &'static str {
        "append_rows"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (cache, x, at) = (&inputs[0], &inputs[1], &inputs[2]);
        if cache.dtype != x.dtype || !x.dtype.is_float() || at.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("needs floats of one type and u32 positions, not {cache}, {x} and {at}")));
        }
        let (to, from) = (&cache.shape, &x.shape);
        let fits = to.rank() == 4 && from.rank() == 4 && to[..2] == from[..2] && to[3] == from[3];
        if !fits || !(at.shape == [to[0]].into() || at.shape.numel() == 1) {
            let reason = format!("needs a cache [B, H, Tmax, D], rows [B, H, T, D] and positions [B] or [], not {to}, {from} and {}", at.shape);
            return Err(Misfit::shape(reason));
        }
        Ok(vec![cache.clone()])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let batches = inputs[0].shape[0];
        Some(vec![2, 2, usize::from(batches > 1 && inputs[2].shape == [batches].into())])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let x = io.x_shape(1);
        if x.numel() == 0 {
            return Ok(());
        }
        let params = Params::new().all([x.numel(), x[1], x[2], x[3], io.x_shape(0)[2], io.x_shape(2).numel()]);
        let mut dispatch =
            Dispatch::new(Kernel::new(shader!("attention/append"), "append", io.real())).read(io.x(1)).read(io.x(2));
        dispatch.args.push(Arg::Update(io.x(0).into(), io.y(0)));
        let groups = x.numel().div_ceil(64) as u64;
        out.push(dispatch.params(params).groups(groups).cost(0, 2 * io.x_desc(1).bytes()));
        Ok(())
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

/// The most sequences of one prompt: what a thread of the kernel keeps at once.
const MOST_EXCHANGED: usize = 32;

/// Inputs cache, source and seen.
#[derive(Debug)]
struct ExchangeRows {
    group: usize,
}

impl Op for ExchangeRows {
    fn name(&self) -> &'static str {
        "exchange_rows"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (cache, source, seen) = (&inputs[0], &inputs[1], &inputs[2]);
        if !cache.dtype.is_float() || source.dtype != DType::U32 || seen.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("needs a cache of floats and u32 indices, not {cache}, {source} and {seen}")));
        }
        let rows = if cache.shape.rank() == 4 { cache.shape[0] } else { 0 };
        if rows == 0 || source.shape != [rows].into() || seen.shape != [rows].into() {
            let reason = format!("needs a cache [B, H, Tmax, D] and indices [B], not {}, {} and {}", cache.shape, source.shape, seen.shape);
            return Err(Misfit::shape(reason));
        }
        if self.group == 0 || self.group > MOST_EXCHANGED || !rows.is_multiple_of(self.group) {
            let reason = format!("{rows} sequences are not in groups of {}, or these are more than {MOST_EXCHANGED}", self.group);
            return Err(Misfit::shape(reason));
        }
        Ok(vec![cache.clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let cache = io.x_shape(0);
        let count = cache.numel() / self.group;
        let params = Params::new().all([count, cache[1], cache[2], cache[3], self.group]);
        let kernel = Kernel::new(shader!("attention/exchange"), "exchange", io.real());
        let mut dispatch = Dispatch::new(kernel).read(io.x(1)).read(io.x(2));
        dispatch.args.push(Arg::Update(io.x(0).into(), io.y(0)));
        out.push(dispatch.params(params).groups(count.div_ceil(64) as u64).cost(0, 2 * io.x_desc(0).bytes()));
        Ok(())
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

/// length ← length + count, in place.
#[derive(Debug)]
struct Advance {
    count: u32,
}

impl Op for Advance {
    fn name(&self) -> &'static str {
        "advance"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs[0].dtype {
            DType::U32 => Ok(vec![inputs[0].clone()]),
            _ => Err(Misfit::dtype(format!("counts in u32, not {}", inputs[0]))),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("attention/advance"), "advance").scalar_u32(self.count))
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Writes the rows `x` `[B, H, T, D]` into `cache` `[B, H, Tmax, D]` from row `at[b]` on, in place, and
    /// returns the cache's new value. `at`, `[B]` or `[]`, is `u32` and read on the GPU: one plan serves
    /// every token. Rows past the cache's last are dropped.
    ///
    /// What reads the cache's old value must be written before; a later reader is an error of planning.
    ///
    /// # Gradient
    /// None: asking for it is an error. No counterpart in PyTorch.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not fit, mixed element types, positions that are not `u32`.
    #[track_caller]
    pub fn append_rows(&self, cache: &Tensor, x: &Tensor, at: &Tensor) -> Tensor {
        self.apply1(AppendRows, &[cache, x, at])
    }

    /// Lets each sequence of `cache` `[B, H, Tmax, D]` take over the first `seen`, `u32 [B]`, rows of the one that `source`,
    /// `u32 [B]`, names among its `group` neighbours, in place, and returns the cache's new value. At most 32 are
    /// neighbours.
    ///
    /// # Gradient
    /// None: asking for it is an error. No counterpart in PyTorch.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not fit, indices that are not `u32`, groups that do not divide B.
    #[track_caller]
    pub fn exchange_rows(&self, cache: &Tensor, source: &Tensor, seen: &Tensor, group: usize) -> Tensor {
        self.apply1(ExchangeRows { group }, &[cache, source, seen])
    }

    /// Adds `count` to a `u32` variable in place and returns the new value.
    ///
    /// # Gradient
    /// None: it changes a counter.
    ///
    /// # Errors
    /// Recorded in the graph: a tensor that is no `u32` variable.
    #[track_caller]
    pub fn advance(&self, counter: &Tensor, count: u32) -> Tensor {
        self.apply1(Advance { count }, &[counter])
    }
}
