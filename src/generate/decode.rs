//! The two graphs of generation: one for the prompts, one for a token more.

use super::{Choice, EarlyStopping, Model, Options};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::{Error, ErrorKind},
    graph::{Graph, Init, Mode, Tensor},
    kernel::Target,
    models::Memory,
    nn::{Continuation, Layer},
    ops::BeamSearch,
    plan::Plan,
};

/// Sizes that both graphs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// How many prompts there are.
    pub batch: usize,
    /// How many tokens the longest has room for.
    pub width: usize,
}

/// The plans of both graphs, and what ids they may be given.
pub(super) struct Plans {
    pub begin: Plan,
    pub next: Plan,
    /// How many tokens prompts are made of.
    pub prompts: usize,
    /// How the beams are searched, if they are.
    pub search: Option<BeamSearch>,
}

/// What both graphs are written with.
pub(super) struct Decoder<'a> {
    pub model: &'a Model,
    pub options: &'a Options,
    pub sizes: Sizes,
}

impl Decoder<'_> {
    /// Both graphs, planned.
    pub fn plan(&self, target: &Target) -> Result<Plans, Error> {
        let begin = Graph::new(Mode::Infer);
        let (ids, logits, memory) = self.prompts(&begin);
        begin.check()?;
        let (vocabulary, prompts) = (logits.size(-1), vocabulary_of(&begin, &ids).unwrap_or_else(|| logits.size(-1)));
        self.check(vocabulary)?;
        let step = Step { decoder: self, graph: begin, vocabulary, begins: true };
        let outputs = step.choose(&logits, Some(&ids));
        let begin = step.plan(&outputs, target)?;

        let graph = Graph::new(Mode::Infer);
        let step = Step { decoder: self, graph, vocabulary, begins: false };
        let logits = self.token(&step, memory.as_ref());
        let outputs = step.choose(&logits, None);
        let next = step.plan(&outputs, target)?;
        let search = matches!(self.options.choice, Choice::Beam { .. }).then(|| step.search());
        Ok(Plans { begin, next, prompts, search })
    }

    fn rows(&self) -> usize {
        self.sizes.batch * self.options.beams()
    }

    /// How many tokens a sequence has when the last one is chosen: that one is never read.
    fn most(&self) -> usize {
        let before = match self.model {
            Model::Language(_) => self.sizes.width,
            Model::Translator(_) => 1,
        };
        before + self.options.max_new_tokens - 1
    }

    /// The ids of the prompts, the logits `[B, vocabulary]` behind them, and the description of a translator's memory.
    fn prompts(&self, graph: &Graph) -> (Tensor, Tensor, Option<TensorDesc>) {
        let Sizes { batch, width } = self.sizes;
        let ids = graph.input_of("ids", [batch, width], DType::U32);
        let lengths = graph.input_of("lengths", [batch], DType::U32);
        let beams = self.options.beams();
        let (logits, memory) = match self.model {
            Model::Language(model) => {
                let way = Continuation::begin(&lengths, beams, self.most());
                (way.last(&way.within(|| model.apply(&ids))), None)
            }
            Model::Translator(model) => {
                let memory = model.encode(&ids, Some(&lengths));
                let start = graph.full_u32([batch, 1], self.options.start);
                let way = Continuation::begin(&graph.full_u32([batch], 1), beams, self.most());
                let logits = way.within(|| model.decode(&start, &memory));
                let states = memory.states.desc();
                let kept = self.memory(graph, &states);
                graph.assign(&kept.states, &memory.states);
                if let Some(kept) = kept.lengths {
                    graph.assign(&kept, &lengths);
                }
                (logits, Some(states))
            }
        };
        (ids, self.flat(&logits), memory)
    }

    /// The logits behind the last token.
    fn token(&self, step: &Step<'_>, memory: Option<&TensorDesc>) -> Tensor {
        let (graph, rows) = (&step.graph, self.rows());
        let token = step.state("token", [rows], DType::U32).reshape([rows, 1]);
        let way = Continuation::next(graph, rows, self.most());
        let way = match self.options.beams() {
            1 => way,
            beams => way.taking_over(&step.state("source", [rows], DType::U32), beams),
        };
        let logits = way.within(|| match (self.model, memory) {
            (Model::Translator(model), Some(memory)) => model.decode(&token, &self.memory(graph, memory)),
            (Model::Translator(_), None) => graph.failed(),
            (Model::Language(model), _) => model.apply(&token),
        });
        self.flat(&logits)
    }

    /// What is kept of a source.
    fn memory(&self, graph: &Graph, desc: &TensorDesc) -> Memory {
        graph.scoped("generate", || {
            let lengths = TensorDesc::new([self.sizes.batch], DType::U32);
            let states = graph.state("memory", desc.clone(), Init::zeros());
            Memory::new(states, Some(&graph.state("memory_lengths", lengths, Init::zeros())))
        })
    }

    /// Logits without the dimension of time.
    fn flat(&self, logits: &Tensor) -> Tensor {
        match logits.dims("logits", ["B", "T", "vocabulary"]) {
            Some([rows, 1, vocabulary]) => logits.reshape([rows, vocabulary]).cast(DType::F32),
            Some([_, time, _]) => {
                let message = format!("generate: the model gives logits of {time} tokens for one");
                logits.graph().fail(Error::new(ErrorKind::Shape, message));
                logits.graph().failed()
            }
            None => logits.graph().failed(),
        }
    }

    /// Refuses tokens that the model does not have.
    fn check(&self, vocabulary: usize) -> Result<(), Error> {
        let options = self.options;
        let translates = matches!(self.model, Model::Translator(_));
        let all = [("eos", &options.eos[..]), ("suppress", &options.suppress), ("pad", &[options.pad])];
        let more = [("start", translates.then_some(options.start)), ("forced_eos", options.forced_eos)];
        let all = all.iter().flat_map(|(name, ids)| ids.iter().map(move |&id| (*name, id)));
        let more = more.iter().filter_map(|(name, id)| id.map(|id| (*name, id)));
        for (name, id) in all.chain(more) {
            if id as usize >= vocabulary {
                let message = format!("generate: {name} is {id}, the model has {vocabulary} tokens");
                return Err(Error::new(ErrorKind::Shape, message));
            }
        }
        let candidates = (1 + options.eos.len()).max(2) * options.beams();
        if options.beams() > 1 && candidates > vocabulary {
            let message = format!(
                "generate: {} beams need {candidates} tokens to choose from, the model has {vocabulary}",
                options.beams()
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(())
    }
}

/// How many tokens an embedding of these ids has.
fn vocabulary_of(graph: &Graph, ids: &Tensor) -> Option<usize> {
    let data = graph.data();
    let reads = data.nodes.iter().find(|node| node.op.name() == "embedding" && node.inputs[1] == ids.id())?;
    data.desc(reads.inputs[0]).shape.first().copied()
}

/// The end of either graph: from logits to the next token.
struct Step<'a> {
    decoder: &'a Decoder<'a>,
    graph: Graph,
    vocabulary: usize,
    begins: bool,
}

/// Outputs by their names.
type Outputs = Vec<(&'static str, Tensor)>;

impl Step<'_> {
    fn plan(&self, outputs: &Outputs, target: &Target) -> Result<Plan, Error> {
        let outputs: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        self.graph.plan(&outputs, target)
    }

    fn state(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        self.graph.scoped("generate", || self.graph.state(name, TensorDesc::new(shape, dtype), Init::zeros()))
    }

    fn set(&self, name: &str, value: &Tensor) -> Tensor {
        self.graph.assign(&self.state(name, value.shape(), value.dtype()), value)
    }

    fn id(&self, id: u32) -> Tensor {
        self.graph.full_u32([], id)
    }

    /// All ids of the vocabulary.
    fn ids(&self) -> Tensor {
        self.graph.arange(0.0, self.vocabulary as f64, 1.0, DType::U32)
    }

    /// 1 where an id is one of these, else 0.
    fn is_any(&self, x: &Tensor, ids: &[u32]) -> Option<Tensor> {
        ids.iter().map(|&id| x.eq(&self.id(id))).reduce(|a, b| a.logical_or(&b))
    }

    /// Chooses the next token and keeps what the next run needs. `ids` are those of the prompts.
    fn choose(&self, logits: &Tensor, ids: Option<&Tensor>) -> Outputs {
        let outputs = match self.decoder.options.choice {
            Choice::Greedy | Choice::Sample { .. } => self.choose_one(logits, ids),
            Choice::Beam { .. } => self.choose_beams(logits, ids),
        };
        self.graph.increment(&self.graph.step());
        outputs
    }

    fn choose_one(&self, logits: &Tensor, ids: Option<&Tensor>) -> Outputs {
        let (graph, options, rows) = (&self.graph, self.decoder.options, self.decoder.rows());
        let most = options.max_new_tokens;
        let said = self.said(ids);
        let scores = self.processed(logits, said.as_ref());
        let chosen = match options.choice {
            Choice::Sample { temperature, top_k, top_p, .. } => self.drawn(&scores, temperature, top_k, top_p),
            _ => scores.argmax(-1),
        };
        let (ended, texts) = if self.begins {
            (graph.full_u32([rows], 0), graph.full_u32([rows, most], options.pad))
        } else {
            (self.state("ended", [rows], DType::U32), self.state("texts", [rows, most], DType::U32))
        };
        let token = ended.where_(&self.id(options.pad), &chosen);
        let ended = match self.is_any(&chosen, &options.eos) {
            Some(ends) => ended.logical_or(&ends),
            None => ended,
        };
        let here = graph.arange(0.0, most as f64, 1.0, DType::U32).eq(&graph.step());
        let texts = here.where_(&token.unsqueeze(1), &texts);
        self.remember(said.as_ref(), &token);
        let open = ended.logical_not().cast(DType::F32).sum_all().cast(DType::U32);
        self.set("ended", &ended);
        self.set("token", &token);
        vec![("texts", self.set("texts", &texts)), ("open", open)]
    }

    fn choose_beams(&self, logits: &Tensor, ids: Option<&Tensor>) -> Outputs {
        let (graph, how, batch) = (&self.graph, self.search(), self.decoder.sizes.batch);
        let (beams, vocabulary) = (how.beams, self.vocabulary);
        let said = self.said(ids);
        let scores = self.processed(&logits.log_softmax(-1), said.as_ref());
        let scores = if self.begins {
            scores
        } else {
            let before = self.state("score", [batch * beams], DType::F32).reshape([batch, beams, 1]);
            (scores.reshape([batch, beams, vocabulary]) + before).reshape([batch, beams * vocabulary])
        };
        let (values, indices) = scores.topk(how.candidates(), -1, true);
        let desc = how.book(batch);
        let book = self.state("book", desc.shape, desc.dtype);
        let penalty = graph.input("penalty", [how.most]);
        let [book, token, source, score, open] =
            graph.beam_search(&book, [&values, &indices], &penalty, &how, self.begins);
        self.set("token", &token);
        self.set("source", &source);
        self.set("score", &score);
        let said = said.map(|said| match self.begins {
            true => said.repeat_interleave(beams, 0),
            false => said.index_select(0, &Continuation::rows(&source, beams)),
        });
        self.remember(said.as_ref(), &token);
        vec![("texts", book), ("open", open.cast(DType::F32).sum_all().cast(DType::U32))]
    }

    /// How the beams are searched.
    fn search(&self) -> BeamSearch {
        let options = self.decoder.options;
        let (early, reach) = match options.choice {
            Choice::Beam { early_stopping, length_penalty, .. } => {
                (early_stopping == EarlyStopping::Full, early_stopping == EarlyStopping::Never && length_penalty > 0.0)
            }
            _ => (false, false),
        };
        let (most, ends) = (options.max_new_tokens, options.eos.clone());
        BeamSearch { beams: options.beams(), vocabulary: self.vocabulary, most, ends, early, reach }
    }

    /// Which tokens each text has so far, `u32 [B, vocabulary]`, where it matters.
    fn said(&self, ids: Option<&Tensor>) -> Option<Tensor> {
        let (graph, decoder) = (&self.graph, self.decoder);
        if decoder.options.repetition_penalty == 1.0 {
            return None;
        }
        let Sizes { batch, width } = decoder.sizes;
        Some(match (ids, decoder.model) {
            (None, _) => self.state("said", [decoder.rows(), self.vocabulary], DType::U32),
            (Some(ids), Model::Language(_)) => {
                let lengths = graph.input_of("lengths", [batch], DType::U32).unsqueeze(1);
                let counts = graph.arange(0.0, width as f64, 1.0, DType::U32).lt(&lengths).cast(DType::F32);
                let none = graph.full([batch, self.vocabulary], 0.0, DType::F32);
                none.scatter_add(1, ids, &counts).gt(&graph.constant(0.0, DType::F32))
            }
            (Some(_), Model::Translator(_)) => {
                self.ids().eq(&self.id(decoder.options.start)).expand([batch, self.vocabulary])
            }
        })
    }

    /// Keeps which tokens there are with a new one.
    fn remember(&self, said: Option<&Tensor>, token: &Tensor) {
        if let Some(said) = said {
            self.set("said", &said.logical_or(&self.ids().eq(&token.unsqueeze(1))));
        }
    }

    /// Scores with all that the options say of single tokens, in the order of `transformers`.
    fn processed(&self, scores: &Tensor, said: Option<&Tensor>) -> Tensor {
        let (graph, options) = (&self.graph, self.decoder.options);
        let number = |x: f32| graph.constant(x, DType::F32);
        let (none, mut scores) = (number(f32::NEG_INFINITY), scores.clone());
        if let Some(said) = said {
            let penalty = options.repetition_penalty;
            let is_low = scores.lt(&number(0.0));
            scores = said.where_(&is_low.where_(&(&scores * penalty), &(&scores / penalty)), &scores);
        }
        if let Some(suppressed) = self.is_any(&self.ids(), &options.suppress) {
            scores = suppressed.where_(&none, &scores);
        }
        if let Some(ends) = self.is_any(&self.ids(), &options.eos).filter(|_| options.min_new_tokens > 0) {
            let early = graph.step().lt(&self.id(options.min_new_tokens as u32));
            scores = ends.logical_and(&early).where_(&none, &scores);
        }
        if let Some(end) = options.forced_eos {
            let is_last = graph.step().eq(&self.id(options.max_new_tokens as u32 - 1));
            let only = self.ids().eq(&self.id(end)).where_(&number(0.0), &none);
            scores = is_last.where_(&only, &scores);
        }
        scores
    }

    /// A token of each row drawn from softmax(scores/temperature) of what is left: the first whose running sum is above a
    /// uniform share of the whole.
    fn drawn(&self, scores: &Tensor, temperature: f32, top_k: Option<usize>, top_p: Option<f32>) -> Tensor {
        let graph = &self.graph;
        let scores = scores / temperature;
        let (scores, order) = match (top_k, top_p) {
            (None, None) => (scores, None),
            (Some(k), _) => {
                let (scores, order) = scores.topk(k.min(self.vocabulary), -1, true);
                (scores, Some(order))
            }
            (None, Some(_)) => {
                let (scores, order) = scores.sort(-1, true);
                (scores, Some(order))
            }
        };
        let mut weights = scores.softmax(-1);
        if let Some(p) = top_p {
            let before = weights.cumsum(-1) - &weights;
            let zero = graph.constant(0.0, DType::F32);
            weights = before.lt(&graph.constant(p, DType::F32)).where_(&weights, &zero);
        }
        let sums = weights.cumsum(-1);
        let whole = sums.slice(-1, sums.size(-1) - 1..);
        // A share so near to 1 that it would round to 1 is none of the 2²² below it.
        let share = graph.uniform([scores.size(0), 1], 0.0, 1.0) * (1.0 - 2.0_f32.powi(-22));
        let above = sums.gt(&(whole * share)).logical_and(&weights.gt(&graph.constant(0.0, DType::F32)));
        let drawn = above.cast(DType::F32).argmax(-1);
        match order {
            Some(order) => order.gather(-1, &drawn.unsqueeze(1)).squeeze(1),
            None => drawn,
        }
    }
}
