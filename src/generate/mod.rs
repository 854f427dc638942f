//! Generation on the device: from prompts to texts, by any causal model and any translator.
//!
//! Two plans run: one for the prompts, one for a token more. Keys, values and last states stay in states of the
//! generator; the next token is chosen by kernels and read by the model's embedding without the host. Several tokens go
//! into one submit, and the texts come back once, at the end. Behind the device, two submits back, the host only reads
//! how many texts have not ended.

mod decode;
mod options;

pub use options::{Choice, EarlyStopping, Options};

use crate::{
    data::Array,
    error::{Error, ErrorKind},
    gpu::{Context, Readback},
    models::Translator,
    nn::Layer,
    ops::BeamSearch,
    session::{Session, Weights},
};
use decode::{Decoder, Sizes};
use std::{collections::VecDeque, fmt, ops::ControlFlow};

/// What goes on with texts.
enum Model {
    /// Ids `[B, T]` → logits of each next token `[B, T, vocabulary]`.
    Language(Box<dyn Layer>),
    Translator(Box<dyn Translator>),
}

/// Makes texts from prompts.
///
/// ```no_run
/// use wgrad::{generate::*, models::*, prelude::*};
///
/// # fn main() -> Result<(), Error> {
/// # let (context, weights): (Context, Weights) = todo();
/// # fn todo<T>() -> T { unreachable!() }
/// let options = Options::sample(7).temperature(0.8).top_k(50).max_new_tokens(64).eos(50256);
/// let mut generator = Generator::new(&context, &weights, gpt2(&Gpt2Config::default()), options)?;
/// let texts = generator.run(&[vec![464, 2068, 7586], vec![40]])?; // prompts of different lengths
/// # Ok(())
/// # }
/// ```
pub struct Generator {
    context: Context,
    weights: Weights,
    model: Model,
    options: Options,
    ready: Option<Ready>,
}

/// Sessions for prompts of certain sizes.
struct Ready {
    sizes: Sizes,
    begin: Session,
    next: Session,
    own: Weights,
    prompts: usize,
    search: Option<BeamSearch>,
}

/// Whether to let the thread sleep until numbers arrive.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    #[cfg(not(target_arch = "wasm32"))]
    Thread,
    Task,
}

async fn arrive(readback: Readback, wait: Wait) -> Result<Array, Error> {
    match wait {
        #[cfg(not(target_arch = "wasm32"))]
        Wait::Thread => readback.wait(),
        Wait::Task => readback.await,
    }
}

impl Generator {
    /// For a language model: a layer from ids `[B, T]` to logits `[B, T, vocabulary]` of which none sees a later token,
    /// [`gpt2`](crate::models::gpt2), [`language_model`](crate::models::language_model) or one of your own. It goes on by
    /// [`Continuation`](crate::nn::Continuation).
    ///
    /// # Errors
    /// Options with which no text can be made.
    pub fn new(
        context: &Context,
        weights: &Weights,
        model: impl Layer + 'static,
        options: Options,
    ) -> Result<Generator, Error> {
        Generator::of(context, weights, Model::Language(Box::new(model)), options)
    }

    /// For a translator: prompts are sources, texts begin with [`Options::start`].
    ///
    /// # Errors
    /// Options with which no text can be made.
    pub fn translator(
        context: &Context,
        weights: &Weights,
        model: impl Translator + 'static,
        options: Options,
    ) -> Result<Generator, Error> {
        Generator::of(context, weights, Model::Translator(Box::new(model)), options)
    }

    fn of(context: &Context, weights: &Weights, model: Model, options: Options) -> Result<Generator, Error> {
        options.check()?;
        Ok(Generator { context: context.clone(), weights: weights.clone(), model, options, ready: None })
    }

    /// What is asked of it.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The new tokens of each prompt, with the one that ended the text, if one did.
    ///
    /// The same prompts, options and weights give the same texts. The same sizes again allocate and compile nothing.
    ///
    /// # Errors
    /// An empty prompt, an id that the model does not have, more tokens than it has positions, a model that is not causal;
    /// weights that lack a parameter; too little memory; an error of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, prompts: &[impl AsRef<[u32]>]) -> Result<Vec<Vec<u32>>, Error> {
        pollster::block_on(self.drive(prompts, Wait::Thread, None))
    }

    /// [`run`](Generator::run) that says the new tokens of each prompt as they come, [`Options::tokens_per_submit`] of
    /// them at a time, and may be told to stop. A beam search says all at its end.
    ///
    /// # Errors
    /// As [`run`](Generator::run).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_with(
        &mut self,
        prompts: &[impl AsRef<[u32]>],
        mut say: impl FnMut(&[Vec<u32>]) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<u32>>, Error> {
        pollster::block_on(self.drive(prompts, Wait::Thread, Some(&mut say)))
    }

    /// [`run`](Generator::run) that waits as a task: where a thread must not, as in a browser.
    ///
    /// # Errors
    /// As [`run`](Generator::run).
    pub async fn generate(&mut self, prompts: &[impl AsRef<[u32]>]) -> Result<Vec<Vec<u32>>, Error> {
        self.drive(prompts, Wait::Task, None).await
    }

    /// [`run_with`](Generator::run_with) that waits as a task.
    ///
    /// # Errors
    /// As [`run`](Generator::run).
    pub async fn generate_with(
        &mut self,
        prompts: &[impl AsRef<[u32]>],
        mut say: impl FnMut(&[Vec<u32>]) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<u32>>, Error> {
        self.drive(prompts, Wait::Task, Some(&mut say)).await
    }

    /// Sessions that fit the prompts, those of the last run if they do.
    fn prepare(&mut self, prompts: &[&[u32]]) -> Result<&Ready, Error> {
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let (batch, width) = (prompts.len(), longest);
        let fits = |ready: &Ready| ready.sizes.batch == batch && (width..=2 * width).contains(&ready.sizes.width);
        let ready = match self.ready.take().filter(fits) {
            Some(ready) => ready,
            None => self.open(Sizes { batch, width })?,
        };
        check_ids(prompts, ready.prompts)?;
        Ok(self.ready.insert(ready))
    }

    fn open(&self, sizes: Sizes) -> Result<Ready, Error> {
        let plans = Decoder { model: &self.model, options: &self.options, sizes }.plan(self.context.target())?;
        let own = self.weights.beside(&[&plans.begin, &plans.next], self.options.seed())?;
        let begin = Session::new(&self.context, plans.begin, &own)?;
        let next = Session::new(&self.context, plans.next, &own)?;
        if let (Choice::Beam { length_penalty, .. }, Some(search)) = (self.options.choice, &plans.search) {
            let penalties: Vec<f32> =
                (1..=search.most).map(|length| (length as f64).powf(f64::from(length_penalty)) as f32).collect();
            let penalties = Array::from_f32([search.most], &penalties)?;
            begin.write("penalty", &penalties)?;
            next.write("penalty", &penalties)?;
        }
        Ok(Ready { sizes, begin, next, own, prompts: plans.prompts, search: plans.search })
    }

    async fn drive<'a>(
        &mut self,
        prompts: &[impl AsRef<[u32]>],
        wait: Wait,
        say: Option<&'a mut Say<'a>>,
    ) -> Result<Vec<Vec<u32>>, Error> {
        let prompts: Vec<&[u32]> = prompts.iter().map(AsRef::as_ref).collect();
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(at) = prompts.iter().position(|prompt| prompt.is_empty()) {
            return Err(Error::new(ErrorKind::Data, format!("generate: prompt {at} has no tokens")));
        }
        let options = self.options.clone();
        let ready = self.prepare(&prompts)?;
        ready.write(&prompts)?;
        let counts = vec![0; prompts.len()];
        let mut said = Said { options: options.clone(), search: ready.search.clone(), say, counts };

        ready.begin.run()?;
        let mut made = 1;
        let mut flags = VecDeque::from([(made, said.look(&ready.begin)?)]);
        while made < options.max_new_tokens {
            let count = options.tokens_per_submit.min(options.max_new_tokens - made);
            ready.next.run_times(count)?;
            made += count;
            flags.push_back((made, said.look(&ready.next)?));
            // The device has this submit to do while the one before it is looked at.
            if let Some((made, flag)) = flags.pop_front()
                && said.hear(&arrive(flag, wait).await?, made).is_break()
            {
                break;
            }
        }
        let texts = said.texts(&arrive(ready.begin.fetch("texts")?, wait).await?, made);
        let _ = said.tell(&texts); // nothing would follow
        Ok(texts)
    }
}

/// Refuses ids that are none of the model's.
fn check_ids(prompts: &[&[u32]], vocabulary: usize) -> Result<(), Error> {
    for (at, prompt) in prompts.iter().enumerate() {
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
            let message = format!("generate: prompt {at} has token {id}, the model has {vocabulary}");
            return Err(Error::new(ErrorKind::Data, message));
        }
    }
    Ok(())
}

impl Ready {
    /// Gives the prompts to the device, and sets the count of tokens back.
    fn write(&self, prompts: &[&[u32]]) -> Result<(), Error> {
        let Sizes { batch, width } = self.sizes;
        let padded = prompts.iter().flat_map(|prompt| prompt.iter().copied().chain(std::iter::repeat(0)).take(width));
        let lengths: Vec<u32> = prompts.iter().map(|prompt| prompt.len() as u32).collect();
        self.begin.write("ids", &Array::from_u32([batch, width], &padded.collect::<Vec<u32>>())?)?;
        self.begin.write("lengths", &Array::from_u32([batch], &lengths)?)?;
        self.own.write("step", &Array::from_u32([], &[0])?)
    }
}

/// Hears of new tokens, and may want no more.
type Say<'a> = dyn FnMut(&[Vec<u32>]) -> ControlFlow<()> + 'a;

/// What has been said of the texts so far, and to whom.
struct Said<'a> {
    options: Options,
    search: Option<BeamSearch>,
    say: Option<&'a mut Say<'a>>,
    counts: Vec<usize>,
}

impl Said<'_> {
    /// Whether texts are said as they come.
    fn follows(&self) -> bool {
        self.say.is_some() && self.search.is_none()
    }

    /// Begins to read what has to be known between submits.
    fn look(&self, session: &Session) -> Result<Readback, Error> {
        session.fetch(if self.follows() { "texts" } else { "open" })
    }

    /// Says what is new behind so many tokens; breaks where no text goes on, or nobody wants to hear more.
    fn hear(&mut self, array: &Array, made: usize) -> ControlFlow<()> {
        let goes_on = |going: bool| if going { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        if !self.follows() {
            return goes_on(array.to_u32().iter().any(|&open| open > 0));
        }
        let texts = self.texts(array, made);
        self.tell(&texts)?;
        goes_on(texts.iter().any(|text| !text.last().is_some_and(|last| self.options.eos.contains(last))))
    }

    /// Says what is new.
    fn tell(&mut self, texts: &[Vec<u32>]) -> ControlFlow<()> {
        let Some(say) = self.say.as_mut() else { return ControlFlow::Continue(()) };
        let news: Vec<Vec<u32>> =
            texts.iter().zip(&self.counts).map(|(text, &count)| text[count.min(text.len())..].to_vec()).collect();
        for (count, text) in self.counts.iter_mut().zip(texts) {
            *count = text.len();
        }
        if news.iter().all(Vec::is_empty) { ControlFlow::Continue(()) } else { say(&news) }
    }

    /// The texts of so many tokens, up to their ends.
    fn texts(&self, array: &Array, made: usize) -> Vec<Vec<u32>> {
        let words = array.to_u32();
        if let Some(search) = &self.search {
            return search.read(&words).into_iter().map(|best| best.map_or(Vec::new(), |(text, _)| text)).collect();
        }
        let rows = words.chunks_exact(self.options.max_new_tokens);
        let text = |row: &[u32]| {
            let end = row[..made].iter().position(|id| self.options.eos.contains(id)).map_or(made, |at| at + 1);
            row[..end].to_vec()
        };
        rows.map(text).collect()
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generator({:?}, {:?})", self.context, self.options)
    }
}
