//! Shader text and its assembly.
//!
//! A shader is a WGSL file. Assembly adds three things and nothing else, all of them behind the
//! file's own text so that errors keep its line numbers: the element type (`alias real = f32;`),
//! the files it names by `//#import NAME` (each once, also those they name in turn), and the text of
//! a fused pointwise chain where the file says `//#import chain`. What must come first in WGSL,
//! `enable f16;` and the extensions it names by `//#enable NAME`, goes in front of its first line.

use crate::data::DType;
use std::{fmt, hash::Hash, sync::Arc};

/// A WGSL file that is part of the program.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The file's name without its ending, for messages and labels.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
}

/// The WGSL file `shaders/NAME.wgsl` of the crate that uses the macro, as a `&'static Shader`.
///
/// ```text
/// let shader = wgrad::shader!("gelu");
/// ```
#[macro_export]
macro_rules! shader {
    ($name:literal) => {{
        static SHADER: $crate::kernel::Shader = $crate::kernel::Shader {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        };
        &SHADER
    }};
}

/// The shared files under `shaders/lib`, by the name an import gives.
macro_rules! library {
    ($($name:literal)*) => { &[$(&Shader {
        name: concat!("lib/", $name),
        source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib/", $name, ".wgsl")),
    }),*] };
}
static LIBRARY: &[&Shader] = library![
    "attention"
    "attention_cooperative"
    "attention_lanes"
    "attention_tile"
    "attention_wait"
    "block"
    "chain"
    "combine"
    "cooperative"
    "cooperative_correlation"
    "cooperative_matmul"
    "correlate"
    "correlation"
    "elements"
    "erf"
    "expm1"
    "held"
    "lanes/tree"
    "index"
    "matrix"
    "nan"
    "near"
    "planes"
    "random"
    "recurrent"
    "rounded"
    "rows"
    "sigmoid"
    "subgroup"
    "subgroups/tree"
    "tanh"
    "tree"
    "trig"
    "turned"
    "windows"
];

/// One pipeline: shader, entry point, constants and element type. Equal kernels share a pipeline.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The WGSL file.
    pub shader: &'static Shader,
    /// The entry point in it.
    pub entry: &'static str,
    /// Values of its `override` constants; floats and booleans are written as numbers.
    pub constants: Vec<(&'static str, u32)>,
    /// What `real` means in it.
    pub real: DType,
    /// The folder of `shaders/lib` that imports come from where it has a file of the name.
    pub library: Option<&'static str>,
    /// The text of a fused pointwise chain, with the files its functions come from.
    pub chain: Option<Arc<ChainText>>,
}

/// The generated text of a fused pointwise chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChainText {
    /// Its declarations and functions.
    pub text: String,
    /// The files that define the functions it calls.
    pub shaders: Vec<&'static Shader>,
}

impl Kernel {
    /// An entry point of a shader, without constants.
    pub fn new(shader: &'static Shader, entry: &'static str, real: DType) -> Kernel {
        // Index tensors have no `real`; the alias then only has to exist.
        let real = if real.is_float() { real } else { DType::F32 };
        Kernel { shader, entry, constants: Vec::new(), real, library: None, chain: None }
    }

    /// The same with one more `override` constant.
    pub fn constant(mut self, name: &'static str, value: u32) -> Kernel {
        self.constants.push((name, value));
        self
    }

    /// The same with what it imports from a folder of `shaders/lib`: `subgroups` or `lanes`, for a device that has subgroups.
    pub fn importing_from(mut self, library: &'static str) -> Kernel {
        self.library = Some(library);
        self
    }

    /// The same with another way of storing, which a fused chain replaces.
    pub fn storing(mut self, store: &'static Shader) -> Kernel {
        self.chain = Some(Arc::new(ChainText { text: String::new(), shaders: vec![store] }));
        self
    }

    /// Whether the file stores its result through a chain, so that pointwise work can be fused in.
    pub fn stores_through_chain(&self) -> bool {
        imports(self.shader.source).any(|name| name == "chain")
    }

    /// What profiles and labels call the kernel: file and entry point, and the folder that it imports from.
    pub fn label(&self) -> String {
        let library = self.library.map(|library| format!(".{library}")).unwrap_or_default();
        format!("{}.{}{library}", self.shader.name, self.entry)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}<{}>{:?}", self.shader.name, self.entry, self.real, self.constants)?;
        self.library.map_or(Ok(()), |library| write!(f, " {library}"))
    }
}

/// What a file's lines `//#WORD NAME` name.
fn named<'a>(source: &'a str, word: &'static str) -> impl Iterator<Item = &'a str> {
    source
        .lines()
        .filter_map(move |line| line.strip_prefix("//#")?.strip_prefix(word)?.strip_prefix(' '))
        .map(str::trim)
}

fn imports(source: &str) -> impl Iterator<Item = &str> {
    named(source, "import")
}

/// The complete WGSL text of a kernel's module.
///
/// # Errors
/// The name of an import that no file under `shaders/lib` has.
pub fn assemble(kernel: &Kernel) -> Result<String, String> {
    let f16 = kernel.real == DType::F16 || kernel.chain.as_ref().is_some_and(|chain| chain.text.contains("f16"));
    // The first line of a file is a comment, so the directive in front of it moves no line.
    let mut text = String::new();
    for extension in f16.then_some("f16").into_iter().chain(named(kernel.shader.source, "enable")) {
        text.push_str("enable ");
        text.push_str(extension);
        text.push_str("; ");
    }
    text.push_str(kernel.shader.source);
    text.push_str("\nalias real = ");
    text.push_str(kernel.real.wgsl());
    text.push_str(";\n");

    let mut seen: Vec<&str> = vec![kernel.shader.name];
    let mut open: Vec<&str> = imports(kernel.shader.source).collect();
    if let Some(chain) = &kernel.chain {
        text.push_str(&chain.text);
        seen.push("lib/chain");
        for shader in &chain.shaders {
            if !seen.contains(&shader.name) {
                seen.push(shader.name);
                text.push_str(shader.source);
                open.extend(imports(shader.source));
            }
        }
    }
    while let Some(name) = open.pop() {
        let find = |folder: &str| LIBRARY.iter().find(|shader| shader.name.strip_prefix(folder) == Some(name));
        let variant = kernel.library.and_then(|library| find(&format!("lib/{library}/")));
        let shader = variant.or_else(|| find("lib/")).ok_or_else(|| name.to_owned())?;
        if seen.contains(&shader.name) {
            continue;
        }
        seen.push(shader.name);
        text.push_str(shader.source);
        open.extend(imports(shader.source));
    }
    Ok(text)
}
