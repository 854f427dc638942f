//! beam_search: of candidates the beams that go on and the texts that have ended, as `transformers` chooses them.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Graph, Io, Op, Tensor},
    kernel::{Arg, Dispatch, Kernel, Params, Target},
    shader,
};

/// The options of [`Graph::beam_search`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BeamSearch {
    /// How many beams each prompt has.
    pub beams: usize,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// How many tokens a text may have.
    pub most: usize,
    /// The tokens that end a text, at most eight.
    pub ends: Vec<u32>,
    /// Whether a prompt is done as soon as it has as many texts as beams.
    pub early: bool,
    /// Whether a running beam may still be measured at the longest length, and not at its own.
    pub reach: bool,
}

/// Inputs book, values, indices and penalty.
#[derive(Debug)]
struct Choose {
    how: BeamSearch,
    first: bool,
}

impl BeamSearch {
    /// How many of the best continuations have to be looked at, so that enough of them go on.
    pub fn candidates(&self) -> usize {
        (1 + self.ends.len()).max(2) * self.beams
    }

    /// The shape and type of the book of `batch` prompts: see [`BeamSearch::read`].
    pub fn book(&self, batch: usize) -> TensorDesc {
        TensorDesc::new([batch, 2 + 4 * self.beams + 2 * self.beams * self.most], DType::U32)
    }

    /// The best text of each prompt that a book says, and its score; none where no text has ended.
    pub fn read(&self, book: &[u32]) -> Vec<Option<(Vec<u32>, f32)>> {
        let (k, words) = (self.beams, self.book(1).shape.numel());
        let best = |book: &[u32]| {
            let texts = &book[2..];
            let (score, length) = (f32::from_bits(texts[0]), texts[k] as usize);
            let (mut beam, mut text) = (texts[2 * k] as usize, vec![texts[3 * k]]);
            if length == 0 {
                return None;
            }
            for step in (0..length - 1).rev() {
                let at = 4 * k + 2 * (k * step + beam);
                text.push(texts[at]);
                beam = texts[at + 1] as usize;
            }
            text.reverse();
            Some((text, score))
        };
        book.chunks_exact(words).map(best).collect()
    }
}

impl Op for Choose {
    fn name(&self) -> &'static str {
        "beam_search"
    }

    fn outputs(&self) -> usize {
        5
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let [book, values, indices, penalty] = [0, 1, 2, 3].map(|i| &inputs[i]);
        let how = &self.how;
        if how.beams == 0 || how.most == 0 || how.vocabulary == 0 || how.ends.len() > 8 {
            let reason = format!("needs beams, tokens, a vocabulary and at most 8 ends, not {how:?}");
            return Err(Misfit::shape(reason));
        }
        let batch = book.shape.first().copied().unwrap_or(0);
        let candidates = [batch, how.candidates()];
        let fits = *book == how.book(batch)
            && *values == TensorDesc::new(candidates, DType::F32)
            && *indices == TensorDesc::new(candidates, DType::U32)
            && *penalty == TensorDesc::new([how.most], DType::F32);
        if !fits {
            let (book_of, count, most) = (how.book(batch), how.candidates(), how.most);
            let reason = format!(
                "needs a book {book_of}, candidates [{batch}, {count}] and penalties [{most}], not {book}, {values}, {indices} and {penalty}"
            );
            return Err(Misfit::shape(reason));
        }
        let beams = |dtype| TensorDesc::new([batch * how.beams], dtype);
        let open = TensorDesc::new([batch], DType::U32);
        Ok(vec![book.clone(), beams(DType::U32), beams(DType::U32), beams(DType::F32), open])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (how, batch) = (&self.how, io.x_shape(0)[0]);
        let words = io.x_shape(0)[1];
        let params = Params::new()
            .all([batch, how.beams, how.candidates(), how.vocabulary, how.most, words])
            .all([how.early.into(), how.reach.into(), how.ends.len()])
            .all((0..8).map(|i| how.ends.get(i).copied().unwrap_or(0) as usize));
        let kernel = Kernel::new(shader!("beam_search"), "beam_search", DType::F32).constant("FIRST", self.first.into());
        let mut dispatch = Dispatch::new(kernel).read(io.x(1)).read(io.x(2)).read(io.x(3));
        dispatch.args.push(Arg::Update(io.x(0).into(), io.y(0)));
        let dispatch = (1..5).fold(dispatch, |dispatch, i| dispatch.write(io.y(i)));
        out.push(dispatch.params(params).groups(batch.div_ceil(64) as u64).cost(0, io.x_desc(1).bytes() * 2));
        Ok(())
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Chooses among the best continuations of each prompt's beams, their scores `values` `[B, N]`, the largest first, and
    /// `indices` `[B, N]`, beam·vocabulary + token, with N = [`candidates`](BeamSearch::candidates): the next tokens, the
    /// beams they go on from and their scores, `[B·beams]` each, and which prompts are not done, `[B]`.
    ///
    /// `book` is changed in place and returned in front: it has the texts that ended, by score/`penalty[length − 1]`, and
    /// whence each token came. The choice is that of `transformers`' `generate`. `first` begins a new book.
    ///
    /// # Gradient
    /// None: asking for it is an error. No counterpart in PyTorch.
    ///
    /// # Errors
    /// Recorded in the graph: shapes and types that do not fit, no beam, more than eight tokens that end a text.
    #[track_caller]
    pub fn beam_search(
        &self,
        book: &Tensor,
        [values, indices]: [&Tensor; 2],
        penalty: &Tensor,
        how: &BeamSearch,
        first: bool,
    ) -> [Tensor; 5] {
        let outputs = self.apply(Choose { how: how.clone(), first }, &[book, values, indices, penalty]);
        std::array::from_fn(|i| outputs[i].clone())
    }
}
