//! The text of a fused chain of pointwise operations: the only WGSL that is assembled, not written.
//!
//! A chain is a list of calls of the operations' own functions. Its text declares the buffers it
//! reads and writes, one function `chain_element` that makes the calls for one element, and either
//! `chain(i)` for the loop of `pointwise.wgsl`, or `store(i, value)` and `store4(i, value)` for the
//! kernel it is fused into.

use crate::{
    data::{DType, Shape, TensorDesc},
    graph::{Draws, Pointwise, Scalar, ValueId},
    kernel::{Arg, ChainText, Dispatch, Kernel, Params, Shader, Slice, Target},
};
use smallvec::SmallVec;
use std::{fmt::Write, sync::Arc};

/// What a call of a chain takes as an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand {
    /// The element of the i-th input that belongs to the output element.
    Input(usize),
    /// The result of an earlier call.
    Call(usize),
    /// The result of the kernel the chain is fused into.
    Anchor,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub function: Pointwise,
    pub operands: SmallVec<[Operand; 4]>,
}

/// A fused chain over the elements of one shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub shape: Shape,
    /// Values read, and for a value that is changed in place the call and the new value.
    pub inputs: Vec<Input>,
    pub calls: Vec<Call>,
    /// Values written: the call whose result they are.
    pub outputs: Vec<(usize, ValueId, DType)>,
}

#[derive(Clone, Debug)]
pub(super) struct Input {
    pub value: ValueId,
    pub desc: TensorDesc,
    pub update: Option<(usize, ValueId)>,
}

/// How an input is indexed from the output's element index.
#[derive(Clone, Debug, PartialEq)]
enum Access {
    Same,
    Scalar,
    Strided(SmallVec<[usize; 6]>),
}

/// The first binding number of a chain; kernels that take one keep theirs below.
const FIRST_BINDING: usize = 16;

/// Sizes and input strides of the iteration, adjacent dimensions merged where every input allows it.
struct Indexing {
    dims: Vec<usize>,
    access: Vec<Access>,
}

impl Indexing {
    fn new(shape: &Shape, inputs: &[Input]) -> Indexing {
        let full = shape.strides();
        let mut access: Vec<Access> = inputs
            .iter()
            .map(|input| {
                let strides = input.desc.shape.broadcast_strides(shape);
                if (0..shape.rank()).all(|d| shape[d] == 1 || strides[d] == full[d]) {
                    Access::Same
                } else if strides.iter().all(|&stride| stride == 0) {
                    Access::Scalar
                } else {
                    Access::Strided(strides)
                }
            })
            .collect();

        // Each kept dimension as (size, the original dimension whose strides it has).
        let mut dims: Vec<(usize, usize)> = Vec::new();
        for d in (0..shape.rank()).filter(|&d| shape[d] != 1) {
            let merges = dims.last().is_some_and(|&(_, last)| {
                access.iter().all(|a| !matches!(a, Access::Strided(s) if s[last] != s[d] * shape[d]))
            });
            match dims.last_mut() {
                Some(last) if merges => *last = (last.0 * shape[d], d),
                _ => dims.push((shape[d], d)),
            }
        }
        for a in &mut access {
            if let Access::Strided(strides) = a {
                *strides = dims.iter().map(|&(_, d)| strides[d]).collect();
            }
        }
        Indexing { dims: dims.into_iter().map(|(size, _)| size).collect(), access }
    }

    fn strided(&self) -> impl Iterator<Item = &SmallVec<[usize; 6]>> {
        self.access.iter().filter_map(|access| match access {
            Access::Strided(strides) => Some(strides),
            _ => None,
        })
    }

    /// What four neighbouring outputs need of an input.
    fn four(&self, access: &Access) -> Four {
        let Access::Strided(strides) = access else {
            return if *access == Access::Same { Four::Vector } else { Four::One };
        };
        let (last, outer) = strides.split_last().map_or((0, &[][..]), |(&last, outer)| (last, outer));
        match last {
            _ if !self.dims.last().is_some_and(|inner| inner.is_multiple_of(4)) => Four::Each,
            0 => Four::One,
            1 if outer.iter().all(|stride| stride.is_multiple_of(4)) => Four::Vector,
            _ => Four::Each,
        }
    }

    /// Whether four neighbouring outputs need four neighbouring (or one) elements of every input.
    fn allows_vectors(&self, numel: usize) -> bool {
        numel.is_multiple_of(4) && self.access.iter().all(|access| self.four(access) != Four::Each)
    }
}

/// What four neighbouring outputs need of an input: one vector, one number, or four numbers that lie anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Four {
    Vector,
    One,
    Each,
}

/// The uniform words of a chain, by name in the text.
struct Words {
    words: Vec<u32>,
}

impl Words {
    /// Appends a word and returns the text that reads it.
    fn push(&mut self, word: u32) -> String {
        let i = self.words.len();
        self.words.push(word);
        format!("c_u[{}].{}", i / 4, ["x", "y", "z", "w"][i % 4])
    }

    fn scalar(&mut self, scalar: Scalar) -> String {
        match scalar {
            Scalar::F32(value) => format!("bitcast<f32>({})", self.push(value.to_bits())),
            Scalar::U32(value) => self.push(value),
        }
    }
}

fn operand_name(operand: Operand) -> String {
    match operand {
        Operand::Input(i) => format!("x{i}"),
        Operand::Call(i) => format!("t{i}"),
        Operand::Anchor => "value".to_owned(),
    }
}

/// The name of a coordinate of the j-th of four elements.
fn coordinate(d: usize, j: usize) -> String {
    if j == 0 { format!("k{d}") } else { format!("k{d}_{j}") }
}

/// The coordinates of the three elements that follow one, each one further than the one before it.
fn following_coordinates(sizes: &[String]) -> String {
    let mut text = String::new();
    for j in 1..4 {
        for d in (0..sizes.len()).rev() {
            let step = if d + 1 == sizes.len() { "1u".to_owned() } else { format!("select(0u, 1u, w{}_{j})", d + 1) };
            let (before, own) = (coordinate(d, j - 1), coordinate(d, j));
            if d == 0 {
                let _ = writeln!(text, "    let {own} = {before} + {step};");
            } else {
                let size = &sizes[d];
                let _ = writeln!(text, "    let n{d}_{j} = {before} + {step};\n    let w{d}_{j} = n{d}_{j} == {size};");
                let _ = writeln!(text, "    let {own} = select(n{d}_{j}, 0u, w{d}_{j});");
            }
        }
    }
    text
}

/// Whether the words a call draws follow from what four elements have in common.
fn draws_for_four(call: &Call, access: &[Access]) -> bool {
    call.function.draws.as_ref().is_some_and(|draws| {
        let mut operands = call.operands[draws.inputs.clone()].iter();
        operands.all(|operand| matches!(operand, Operand::Input(i) if access[*i] == Access::Scalar))
    })
}

/// The call that draws the words of the four elements that `e` belongs to.
fn drawn_words(call: &Call, draws: &Draws, words: &mut Words) -> String {
    let mut list: Vec<String> =
        call.operands[draws.inputs.clone()].iter().map(|&operand| operand_name(operand)).collect();
    list.extend(draws.scalars.iter().map(|&scalar| words.scalar(scalar)));
    list.push("e / 4u".to_owned());
    format!("{}({})", draws.function, list.join(", "))
}

/// A chain's text, uniform words and buffers.
struct Written {
    text: Arc<ChainText>,
    words: Vec<u32>,
}

/// Has dispatches that store whole vectors, and into which nothing is fused, store them as such.
pub(super) fn store_vectors(dispatches: &mut [Dispatch], output: ValueId) {
    let is_output = |arg: &Arg| matches!(arg, Arg::Write(slice) if slice.value == output);
    for dispatch in dispatches.iter_mut().filter(|dispatch| dispatch.finishes && dispatch.vectors) {
        if let Some(at) = dispatch.args.iter().position(is_output) {
            dispatch.kernel = dispatch.kernel.clone().storing(crate::shader!("store/vectors"));
            let written = dispatch.args.remove(at);
            dispatch.args.push(written);
        }
    }
}

impl Chain {
    /// Bytes of all values read and written.
    fn bytes(&self) -> u64 {
        let read: u64 =
            self.inputs.iter().map(|input| input.desc.bytes() * (1 + u64::from(input.update.is_some()))).sum();
        read + self.outputs.iter().map(|(_, _, dtype)| (self.shape.numel() * dtype.bytes()) as u64).sum::<u64>()
    }

    /// Floating point operations, one for each call and element.
    fn flops(&self) -> u64 {
        (self.calls.len() * self.shape.numel()) as u64
    }

    /// The storage buffers it binds.
    pub fn buffers(&self) -> usize {
        self.inputs.len() + self.outputs.len()
    }

    /// Dispatches of the chain on its own, in parts where a value exceeds one binding.
    ///
    /// Returns the bytes of the largest input that would have to be bound in parts but cannot.
    pub fn dispatches(&self, target: &Target) -> Result<Vec<Dispatch>, u64> {
        let numel = self.shape.numel();
        let indexing = Indexing::new(&self.shape, &self.inputs);
        // Software drivers store numbers one by one; what they read may lie anywhere.
        let vectors = indexing.allows_vectors(numel) || (target.class.is_software() && numel.is_multiple_of(4));
        let width = if vectors { 4 } else { 1 };
        for (input, access) in self.inputs.iter().zip(&indexing.access) {
            if *access != Access::Same && input.desc.bytes() > target.max_binding_bytes {
                return Err(input.desc.bytes());
            }
        }
        let written = self.write(&indexing, width, false);
        let lanes = target.class.is_software();
        let mut kernel = Kernel::new(crate::shader!("pointwise"), "main", DType::F32).constant("LANES", lanes.into());
        kernel.chain = Some(written.text);

        // A part ends on a multiple of 1024 elements, which every binding alignment divides.
        let part = if numel as u64 * 4 <= target.max_binding_bytes {
            numel
        } else {
            ((target.max_binding_bytes / 4 / 1024 * 1024) as usize).max(1024)
        };
        let parts = numel.div_ceil(part.max(1)).max(1) as u64;
        let mut dispatches = Vec::new();
        let mut base = 0;
        while base < numel {
            let count = part.min(numel - base);
            let range = |value: ValueId, dtype: DType| {
                let bytes = (count * dtype.bytes()) as u64;
                Slice { value, offset: (base * dtype.bytes()) as u64, bytes: (parts > 1).then_some(bytes) }
            };
            let mut words = written.words.clone();
            // Lanes of a processor take many vectors each, where that leaves work for many processors.
            let vectors = if lanes { (count / width / (64 * 32)).clamp(4, 32) } else { 4 };
            words[0] = (count / width) as u32;
            words[1] = base as u32;
            words[2] = vectors as u32;
            let mut dispatch = Dispatch::new(kernel.clone())
                .groups((count / width).div_ceil(64 * vectors) as u64)
                .cost(self.flops() / parts, self.bytes() / parts);
            dispatch.args = self.args(
                &words,
                |input, slice| match indexing.access[input] {
                    Access::Same => range(slice, self.inputs[input].desc.dtype),
                    _ => slice.into(),
                },
                range,
            );
            dispatches.push(dispatch);
            base += count;
        }
        Ok(dispatches)
    }

    /// Fuses the chain behind the dispatches of another operation, which store through it.
    pub fn fuse_behind(&self, dispatches: &mut [Dispatch], output: ValueId) {
        let indexing = Indexing::new(&self.shape, &self.inputs);
        let mut finishing = dispatches.iter().filter(|dispatch| dispatch.finishes);
        let vectors = finishing.all(|dispatch| dispatch.vectors) && indexing.allows_vectors(self.shape.numel());
        let written = self.write(&indexing, if vectors { 4 } else { 1 }, true);
        let count = dispatches.iter().filter(|dispatch| dispatch.finishes).count().max(1) as u64;
        for dispatch in dispatches.iter_mut().filter(|dispatch| dispatch.finishes) {
            dispatch.kernel.chain = Some(written.text.clone());
            dispatch.args.retain(|arg| !matches!(arg, Arg::Write(slice) if slice.value == output));
            dispatch.args.extend(self.args(&written.words, |_, value| value.into(), |value, _| value.into()));
            dispatch.cost.flops += self.flops() / count;
            dispatch.cost.bytes += self.bytes() / count;
        }
    }

    fn args(
        &self,
        words: &[u32],
        read: impl Fn(usize, ValueId) -> Slice,
        write: impl Fn(ValueId, DType) -> Slice,
    ) -> Vec<Arg> {
        let inputs = self.inputs.iter().enumerate().map(|(i, input)| match input.update {
            Some((_, new)) => Arg::Update(read(i, input.value), new),
            None => Arg::Read(read(i, input.value)),
        });
        let outputs = self.outputs.iter().map(|&(_, value, dtype)| Arg::Write(write(value, dtype)));
        let params = words.iter().fold(Params::new(), |params, &word| params.bits(word));
        let params = (!words.is_empty()).then_some(Arg::Params(params));
        inputs.chain(outputs).chain(params).collect()
    }

    /// Writes the text. `width` is the number of elements that `chain(i)` computes, or that are stored at a time.
    fn write(&self, indexing: &Indexing, width: usize, behind: bool) -> Written {
        let mut words = Words { words: Vec::new() };
        // A chain behind another kernel is told its element; on its own it counts from a part's base.
        let [length, base, vectors] =
            if behind { Default::default() } else { [words.push(0), words.push(0), words.push(0)] };
        // Sizes are only asked for where an input is strided; a uniform nobody reads has no binding.
        let sizes = if indexing.strided().next().is_some() { &indexing.dims[..] } else { &[] };
        let dims: Vec<String> = sizes.iter().map(|&size| words.push(size as u32)).collect();
        let strides: Vec<Vec<Option<String>>> = indexing
            .access
            .iter()
            .map(|access| match access {
                Access::Strided(strides) => {
                    strides.iter().map(|&stride| (stride != 0).then(|| words.push(stride as u32))).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        let four = |access: &Access| if width == 4 { indexing.four(access) } else { Four::One };
        let vector = |access: &Access| four(access) == Four::Vector;
        let each = indexing.access.iter().any(|access| four(access) == Four::Each);

        let mut text = String::from("\n");
        let mut shaders: Vec<&'static Shader> = Vec::new();
        for call in &self.calls {
            if !shaders.contains(&call.function.shader) {
                shaders.push(call.function.shader);
            }
        }
        let draws = self.calls.iter().any(|call| call.function.draws.is_some());
        // The calls that draw words for four elements at once, and what draws them.
        let hoisted: Vec<(usize, String)> = (self.calls.iter().enumerate())
            .filter(|(_, call)| width == 4 && draws_for_four(call, &indexing.access))
            .filter_map(|(j, call)| Some((j, drawn_words(call, call.function.draws.as_ref()?, &mut words))))
            .collect();
        let element = self.element_function(&mut words, behind, &hoisted);

        // Buffers.
        let mut binding = FIRST_BINDING;
        let mut declare = |text: &mut String, name: String, mode: &str, dtype: DType, vector: bool| {
            let kind = if vector { format!("vec4<{}>", dtype.wgsl()) } else { dtype.wgsl().to_owned() };
            let _ = writeln!(text, "@group(0) @binding({binding}) var<storage, {mode}> {name}: array<{kind}>;");
            binding += 1;
        };
        for (i, input) in self.inputs.iter().enumerate() {
            let mode = if input.update.is_some() { "read_write" } else { "read" };
            declare(&mut text, format!("c_x{i}"), mode, input.desc.dtype, vector(&indexing.access[i]));
        }
        for (i, (_, _, dtype)) in self.outputs.iter().enumerate() {
            declare(&mut text, format!("c_y{i}"), "read_write", *dtype, width == 4);
        }
        let rows = words.words.len().div_ceil(4);
        if rows > 0 {
            let _ = writeln!(text, "@group(0) @binding({binding}) var<uniform> c_u: array<vec4<u32>, {rows}>;");
        }
        text.push_str(&element);

        // The element index, the coordinates, and the inputs at them.
        let mut body = String::new();
        if behind {
            let (name, kind) = if width == 4 { ("store4", "vec4<f32>") } else { ("store", "f32") };
            let _ = writeln!(body, "fn {name}(i: u32, value: {kind}) {{\n    let e = i;");
        } else {
            let scale = if width == 4 { " * 4u" } else { "" };
            let _ = writeln!(body, "fn chain_length() -> u32 {{ return {length}; }}");
            let _ = writeln!(body, "fn chain_vectors() -> u32 {{ return {vectors}; }}");
            let _ = writeln!(body, "fn chain(i: u32) {{\n    let e = {base} + i{scale};");
        }
        if !dims.is_empty() {
            body.push_str("    var rest = e;\n");
            for (d, size) in dims.iter().enumerate().skip(1).rev() {
                let _ = writeln!(
                    body,
                    "    let q{d} = rest / {size};\n    let k{d} = rest - q{d} * {size};\n    rest = q{d};"
                );
            }
            body.push_str("    let k0 = rest;\n");
        }
        if each {
            body.push_str(&following_coordinates(&dims));
        }
        // `chain` counts vectors, who stores counts elements.
        let own = if behind && width == 4 { "i / 4u" } else { "i" };
        for (i, input) in self.inputs.iter().enumerate() {
            let access = &indexing.access[i];
            // The index for the j-th of four elements.
            let index = |j: usize| match access {
                Access::Same => own.to_owned(),
                Access::Scalar => "0u".to_owned(),
                Access::Strided(values) => {
                    let terms = values.iter().zip(&strides[i]).enumerate().filter_map(|(d, (&value, name))| {
                        let k = coordinate(d, j);
                        name.as_ref().map(|name| if value == 1 { k } else { format!("{k} * {name}") })
                    });
                    terms.collect::<Vec<_>>().join(" + ")
                }
            };
            let kind = if input.desc.dtype == DType::U32 { "u32" } else { "f32" };
            let load = match (four(access), access) {
                (Four::Vector, Access::Strided(_)) => format!("vec4<{kind}>(c_x{i}[({}) / 4u])", index(0)),
                (Four::Vector, _) => format!("vec4<{kind}>(c_x{i}[{}])", index(0)),
                (Four::One, _) => format!("{kind}(c_x{i}[{}])", index(0)),
                (Four::Each, _) => {
                    let list: Vec<String> = (0..4).map(|j| format!("{kind}(c_x{i}[{}])", index(j))).collect();
                    format!("vec4<{kind}>({})", list.join(", "))
                }
            };
            let _ = writeln!(body, "    let x{i} = {load};");
        }

        for (j, drawn) in &hoisted {
            let _ = writeln!(body, "    let w{j} = {drawn};");
        }

        // The calls, and the results.
        let arguments = |lane: Option<usize>| {
            let lane = lane.map(|lane| (lane, ["x", "y", "z", "w"][lane]));
            let mut list: Vec<String> = (0..self.inputs.len())
                .map(|i| match lane {
                    Some((_, name)) if four(&indexing.access[i]) != Four::One => format!("x{i}.{name}"),
                    _ => format!("x{i}"),
                })
                .collect();
            if behind {
                list.push(lane.map_or("value".to_owned(), |(_, name)| format!("value.{name}")));
            }
            list.push(lane.map_or("e".to_owned(), |(lane, _)| format!("e + {lane}u")));
            if draws {
                list.push(lane.map_or("e % 4u".to_owned(), |(lane, _)| format!("{lane}u")));
            }
            list.extend(hoisted.iter().map(|(j, _)| format!("w{j}")));
            list.join(", ")
        };
        let lanes: Vec<Option<usize>> = if width == 4 { (0..4).map(Some).collect() } else { vec![None] };
        for (r, lane) in lanes.iter().enumerate() {
            let _ = writeln!(body, "    let r{r} = chain_element({});", arguments(*lane));
        }
        let mut result = |target: String, field: usize, dtype: DType| {
            let list: Vec<String> = (0..lanes.len()).map(|r| format!("r{r}.o{field}")).collect();
            let list = list.join(", ");
            let (wide, name) = (if dtype == DType::U32 { "u32" } else { "f32" }, dtype.wgsl());
            let value =
                if width == 4 { format!("vec4<{name}>(vec4<{wide}>({list}))") } else { format!("{name}({list})") };
            let _ = writeln!(body, "    {target}[{own}] = {value};");
        };
        let mut field = 0;
        for (i, input) in self.inputs.iter().enumerate() {
            if input.update.is_some() {
                result(format!("c_x{i}"), field, input.desc.dtype);
                field += 1;
            }
        }
        for (i, (_, _, dtype)) in self.outputs.iter().enumerate() {
            result(format!("c_y{i}"), field, *dtype);
            field += 1;
        }
        body.push_str("}\n");
        if behind && width == 4 {
            // Only there for the kernel to be valid: it stores vectors.
            body.push_str("fn store(i: u32, value: f32) {}\n");
        } else if behind {
            // A loop, so that drivers that inline every call compile the chain once.
            body.push_str("fn store4(i: u32, value: vec4<f32>) {\n");
            body.push_str(
                "    for (var lane = 0u; lane < 4u; lane++) {\n        store(i + lane, value[lane]);\n    }\n}\n",
            );
        }
        text.push_str(&body);
        Written { text: Arc::new(ChainText { text, shaders }), words: words.words }
    }

    /// The function that makes all calls for one element and returns what is stored.
    ///
    /// Words that are drawn for four elements at once, `hoisted`, are arguments.
    fn element_function(&self, words: &mut Words, behind: bool, hoisted: &[(usize, String)]) -> String {
        let stored: Vec<(usize, DType)> = (self.inputs.iter())
            .filter_map(|input| input.update.map(|(call, _)| (call, input.desc.dtype)))
            .chain(self.outputs.iter().map(|&(call, _, dtype)| (call, dtype)))
            .collect();
        let wide = |dtype: DType| if dtype == DType::U32 { "u32" } else { "f32" };

        let mut text = String::from("struct ChainResult {\n");
        for (i, (_, dtype)) in stored.iter().enumerate() {
            let _ = writeln!(text, "    o{i}: {},", wide(*dtype));
        }
        text.push_str("}\nfn chain_element(");
        for (i, input) in self.inputs.iter().enumerate() {
            let _ = write!(text, "x{i}: {}, ", wide(input.desc.dtype));
        }
        if behind {
            text.push_str("value: f32, ");
        }
        text.push_str("e: u32");
        if self.calls.iter().any(|call| call.function.draws.is_some()) {
            text.push_str(", lane: u32");
        }
        for (j, _) in hoisted {
            let _ = write!(text, ", w{j}: vec4<u32>");
        }
        text.push_str(") -> ChainResult {\n");
        for (j, call) in self.calls.iter().enumerate() {
            let draws = call.function.draws.as_ref();
            if let Some(draws) = draws.filter(|_| hoisted.iter().all(|(i, _)| *i != j)) {
                let _ = writeln!(text, "    let w{j} = {};", drawn_words(call, draws, words));
            }
            let taken = draws.map_or(0..0, |draws| draws.inputs.clone());
            let operands = call.operands.iter().enumerate().filter(|(i, _)| !taken.contains(i));
            let mut list: Vec<String> = operands.map(|(_, &operand)| operand_name(operand)).collect();
            list.extend(call.function.scalars.iter().map(|&scalar| words.scalar(scalar)));
            if draws.is_some() {
                list.extend([format!("w{j}"), "lane".to_owned()]);
            }
            if call.function.index {
                list.push("e".to_owned());
            }
            let _ = writeln!(text, "    let t{j} = {}({});", call.function.function, list.join(", "));
        }
        let results: Vec<String> = stored.iter().map(|(call, _)| format!("t{call}")).collect();
        let _ = writeln!(text, "    return ChainResult({});\n}}", results.join(", "));
        text
    }
}
