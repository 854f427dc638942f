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

#[cfg(test)]
mod tests {
    use super::{super::gather::tests::Dice, *};
    use crate::{prelude::*, testing::context};

    /// A text and its score.
    type Text = (Vec<u32>, f32);

    /// A search on the host, step by step as `transformers` does it.
    struct Search {
        how: BeamSearch,
        power: f32,
        running: Vec<Text>,
        finished: Vec<Text>,
        locked: bool,
    }

    impl Search {
        fn step(&mut self, candidates: &[(usize, u32, f32)]) {
            let (how, length) = (&self.how, self.running[0].0.len() + 1);
            let scale = |length: usize| (length as f32).powf(self.power);
            let ends = |token: u32| length == how.most || how.ends.contains(&token);
            let text = |&(beam, token, score): &(usize, u32, f32)| {
                ([&self.running[beam].0[..], &[token]].concat(), score)
            };
            let mut finished = self.finished.clone();
            if !(self.locked || how.early && finished.len() == how.beams) {
                let new = candidates[..how.beams].iter().filter(|candidate| ends(candidate.1)).map(text);
                finished.extend(new.map(|(text, score)| (text, score / scale(length))));
                finished.sort_by(|a, b| b.1.total_cmp(&a.1));
                finished.truncate(how.beams);
            }
            let on = candidates.iter().filter(|candidate| !ends(candidate.1)).map(text);
            let over = candidates.iter().filter(|candidate| ends(candidate.1)).map(text);
            let running: Vec<Text> = on.chain(over.map(|(text, score)| (text, score - 1e9))).take(how.beams).collect();
            let worst = if finished.len() == how.beams { finished[how.beams - 1].1 } else { -1e9 };
            let reached = scale(if how.reach { how.most } else { length });
            self.locked |= running[0].1 / reached <= worst;
            (self.running, self.finished) = (running, finished);
        }
    }

    #[test]
    fn a_search_finds_what_the_host_finds() {
        for (case, (beams, ends, early, reach, power)) in [
            (1, vec![], false, false, 1.0),
            (3, vec![0], false, false, 1.0),
            (4, vec![2, 5], true, false, 0.5),
            (2, vec![1], false, true, 2.0),
            (5, vec![3, 4, 6], false, false, -1.0),
        ]
        .into_iter()
        .enumerate()
        {
            let (batch, vocabulary, most) = (3, 23, 7);
            let how = BeamSearch { beams, vocabulary, most, ends, early, reach };
            let n = how.candidates();
            let plan = |first: bool| {
                let graph = Graph::new(Mode::Infer);
                let desc = how.book(batch);
                let book = graph.state("book", desc, Init::Constant(7.0));
                let (values, indices) = (graph.input("values", [batch, n]), graph.input_of("indices", [batch, n], DType::U32));
                let penalty = graph.input("penalty", [most]);
                let [book, token, source, score, open] =
                    graph.beam_search(&book, [&values, &indices], &penalty, &how, first);
                let outputs = [("book", &book), ("token", &token), ("source", &source), ("score", &score), ("open", &open)];
                graph.plan(&outputs, context().target()).unwrap()
            };
            let weights = Weights::init(context(), &plan(true), 1).unwrap();
            let sessions = [true, false].map(|first| Session::new(context(), plan(first), &weights).unwrap());
            let penalties: Vec<f32> = (1..=most).map(|length| (length as f32).powf(power)).collect();
            let mut dice = Dice(case as u64);
            let search = Search { how: how.clone(), power, running: vec![(Vec::new(), 0.0)], finished: Vec::new(), locked: false };
            let mut searches: Vec<Search> = (0..batch).map(|_| Search { running: search.running.clone(), how: how.clone(), finished: Vec::new(), ..search }).collect();
            for step in 0..most {
                let (mut values, mut indices) = (Vec::new(), Vec::new());
                for search in &mut searches {
                    let mut all: Vec<(usize, u32, f32)> = Vec::new();
                    for (beam, (_, score)) in search.running.iter().enumerate() {
                        let number = |dice: &mut Dice| -((1 + dice.below(1 << 16)) as f32) / 16_384.0;
                        all.extend((0..vocabulary as u32).map(|token| (beam, token, score + number(&mut dice))));
                    }
                    all.sort_by(|a, b| b.2.total_cmp(&a.2));
                    all.truncate(n);
                    values.extend(all.iter().map(|candidate| candidate.2));
                    indices.extend(all.iter().map(|candidate| (candidate.0 * vocabulary) as u32 + candidate.1));
                    search.step(&all);
                }
                let session = &sessions[usize::from(step > 0)];
                session.write("values", &Array::from_f32([batch, n], &values).unwrap()).unwrap();
                session.write("indices", &Array::from_u32([batch, n], &indices).unwrap()).unwrap();
                session.write("penalty", &Array::from_f32([most], &penalties).unwrap()).unwrap();
                session.run().unwrap();
                let [token, score, open] = ["token", "score", "open"].map(|name| session.read_blocking(name).unwrap());
                let running = searches.iter().flat_map(|search| &search.running);
                assert!(running.clone().map(|(text, _)| text[step]).eq(token.to_u32()), "case {case}, step {step}");
                for ((_, expected), found) in running.zip(score.to_f32()) {
                    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found}, not {expected}");
                }
                let is_open = |s: &Search| step + 1 < most && !s.locked && !(early && s.finished.len() == beams);
                assert!(searches.iter().map(|search| u32::from(is_open(search))).eq(open.to_u32()));
                let book = session.read_blocking("book").unwrap().to_u32();
                for (search, found) in searches.iter().zip(how.read(&book)) {
                    assert_eq!(search.finished.first().map(|(text, _)| text), found.as_ref().map(|(text, _)| text));
                    if let Some((_, score)) = found {
                        assert!((score - search.finished[0].1).abs() <= 1e-5 * score.abs(), "case {case}");
                    }
                }
            }
            assert!(searches.iter().all(|search| !search.finished.is_empty()), "case {case}");
        }
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |how: &BeamSearch, n: usize| {
            let graph = Graph::new(Mode::Infer);
            let book = graph.state("book", how.book(2), Init::zeros());
            let (values, indices) = (graph.input("values", [2, n]), graph.input_of("indices", [2, n], DType::U32));
            graph.beam_search(&book, [&values, &indices], &graph.input("penalty", [how.most]), how, true);
            graph.check().unwrap_err().message().to_owned()
        };
        let how = BeamSearch { beams: 3, vocabulary: 9, most: 5, ends: vec![1], ..BeamSearch::default() };
        assert_eq!(
            message(&how, 5),
            "beam_search: needs a book u32[2, 44], candidates [2, 6] and penalties [5], not u32[2, 44], f32[2, 5], u32[2, 5] and f32[5]"
        );
        assert!(message(&BeamSearch { ends: vec![0; 9], ..how }, 30).contains("at most 8 ends"));
    }
}
