//! What kernels become for software drivers, for speed alone: other loads and stores, and other divisions.
//!
//! Mesa's software driver runs eight threads in the lanes of a processor's vectors. From a buffer it loads for one lane
//! after another and puts each number in its place by way of memory, which costs more than anything that is then
//! computed with it. From a texture it loads whole vectors and puts them in their places in registers, several times as
//! fast. What it stores goes lane by lane as well, and a word costs as much as a number, so half as many stores do.
//! Kernels stay as they are written: `array<vec4<f32>>` becomes `texture_storage_2d<rgba32float, read>` or
//! `array<vec2<u64>>` in what the driver is given. The textures lie over the buffers' memory: see `block.rs`.
//!
//! It divides integers lane by lane, too: see `quotient`.

mod pruning;
mod quotient;
mod rewriting;
#[cfg(test)]
mod tests;

use super::pipeline::{BESIDE, Kind};
use naga::{
    AddressSpace, Arena, ArraySize, Block, Expression, Function, GlobalVariable, Handle, Module, ResourceBinding,
    Scalar, ScalarKind, Span, Statement, StorageAccess, Type, TypeInner, UniqueArena, VectorSize,
};
use quotient::Quotients;
use rewriting::{Rewriting, Types};
use std::collections::{HashMap, HashSet};

/// What becomes of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Software {
    /// Whether vectors are read as words.
    pub words: bool,
    /// Whether quotients of integers are computed in floats.
    pub quotients: bool,
    /// Which of what the kernel binds it reads by way of a texture, by its place among them: a bit each.
    pub textures: u32,
}

impl Software {
    /// Rewrites a module, and says in its bindings what has become a texture, or has one beside it.
    ///
    /// What is read by a texture and also written is read as it was before: a thread must not read there what it, or
    /// another one, has written.
    ///
    /// Words take the place of vectors in what else is read or written: buffers and workgroup memory of `vec4<f32>`,
    /// `vec4<u32>` and `vec4<i32>`. What has a number written by itself is left alone, and the whole module where there is
    /// something this does not know.
    pub(super) fn apply(self, module: &mut Module, bindings: &mut [(u32, Kind)]) {
        if self != Software::default() {
            pruning::prune(module);
        }
        let chosen = (0..32).filter(|place| self.textures >> place & 1 == 1).filter_map(|place| bindings.get(place));
        let textures: Vec<u32> = chosen.filter(|(_, kind)| *kind != Kind::Uniform).map(|(number, _)| *number).collect();
        let mut arrays: Vec<Option<Array>> = (module.global_variables.iter())
            .map(|(_, variable)| {
                let number = variable.binding.as_ref().map(|binding| binding.binding);
                match number {
                    Some(number) if textures.contains(&number) => through_texture(variable, &module.types, self.words),
                    _ if self.words => vectors(variable, &module.types),
                    _ => None,
                }
            })
            .collect();
        let functions = || {
            let points = module.entry_points.iter().map(|point| &point.function);
            module.functions.iter().map(|(_, function)| function).chain(points)
        };
        let mut stored = HashSet::new();
        for function in functions() {
            each_store(&function.body, &mut |pointer| match part(&function.expressions, pointer) {
                Some(Part::Whole(variable) | Part::Vector(variable)) => _ = stored.insert(variable),
                // Half of a word cannot be stored.
                Some(Part::Number(variable)) => arrays[variable.index()] = None,
                None => {}
            });
        }
        for ((handle, variable), array) in module.global_variables.iter().zip(&mut arrays) {
            let is_loaded = || functions().any(|function| is_loaded(function, handle));
            *array = match *array {
                Some(array) if !is_loaded() => {
                    Some(Array { texture: false, ..array }).filter(|array| array.words && stored.contains(&handle))
                }
                array => array,
            };
            // Only a buffer knows how long it is.
            let is_measured = || functions().any(|function| is_measured(function, handle));
            if array.is_some_and(|array| array.texture && !array.kept) && is_measured() {
                *array = vectors(variable, &module.types).filter(|_| self.words);
            }
        }
        let divided =
            |function: &Function| if self.quotients { quotient::find(module, function) } else { HashMap::new() };
        let in_functions: Vec<_> = module.functions.iter().map(|(_, function)| divided(function)).collect();
        let in_points: Vec<_> = module.entry_points.iter().map(|point| divided(&point.function)).collect();
        if arrays.iter().all(Option::is_none) && in_functions.iter().chain(&in_points).all(HashMap::is_empty) {
            return;
        }
        let types = Types::new(&mut module.types, &arrays);
        let beside = lay_beside(module, &arrays, types.image);
        let rewritten = |(function, quotients): (&Function, &Quotients)| {
            Rewriting::new(function, &arrays, &types, &beside, quotients).function()
        };
        let functions: Option<Vec<_>> =
            module.functions.iter().map(|(_, function)| function).zip(&in_functions).map(rewritten).collect();
        let points = module.entry_points.iter().map(|point| &point.function);
        let points: Option<Vec<_>> = points.zip(&in_points).map(rewritten).collect();
        let (Some(functions), Some(points)) = (functions, points) else { return };
        for ((_, function), new) in module.functions.iter_mut().zip(functions) {
            *function = new;
        }
        for (point, new) in module.entry_points.iter_mut().zip(points) {
            point.function = new;
        }
        for ((_, variable), array) in module.global_variables.iter_mut().zip(arrays) {
            let Some(array) = array else { continue };
            let number = variable.binding.as_ref().map(|binding| binding.binding);
            for binding in bindings.iter_mut().filter(|(binding, _)| array.texture && Some(*binding) == number) {
                binding.1 = if array.kept { Kind::ReadWriteTexture } else { Kind::Texture };
            }
            if let (false, Some(image)) = (array.kept, types.image) {
                (variable.ty, variable.space) = (image, AddressSpace::Handle);
            } else if let (true, Some(base)) = (array.words, types.pair) {
                let inner = TypeInner::Array { base, size: array.size, stride: 16 };
                variable.ty = module.types.insert(Type { name: None, inner }, Span::UNDEFINED);
            }
        }
    }
}

/// An array that can be read in another way.
#[derive(Clone, Copy)]
struct Array {
    /// What the numbers are.
    kind: ScalarKind,
    size: ArraySize,
    /// Whether an element is a number, not a vector of four.
    single: bool,
    /// Whether it is read by a texture.
    texture: bool,
    /// Whether there is a buffer, or workgroup memory: else the texture takes its place.
    kept: bool,
    /// Whether that holds words.
    words: bool,
}

/// An array of numbers or vectors.
fn array(variable: &GlobalVariable, types: &UniqueArena<Type>) -> Option<Array> {
    let TypeInner::Array { base, size, .. } = types[variable.ty].inner else { return None };
    let (scalar, single) = match types[base].inner {
        TypeInner::Vector { size: VectorSize::Quad, scalar } => (scalar, false),
        TypeInner::Scalar(scalar) => (scalar, true),
        _ => return None,
    };
    let known = matches!(scalar, Scalar::F32 | Scalar::U32 | Scalar::I32);
    known.then_some(Array { kind: scalar.kind, size, single, texture: false, kept: true, words: false })
}

/// What can be read as words.
fn vectors(variable: &GlobalVariable, types: &UniqueArena<Type>) -> Option<Array> {
    let kept = matches!(variable.space, AddressSpace::Storage { .. } | AddressSpace::WorkGroup);
    let array = array(variable, types).filter(|array| kept && !array.single)?;
    Some(Array { words: true, ..array })
}

/// What can be read by a texture: in its place, or beside a buffer that is also written.
fn through_texture(variable: &GlobalVariable, types: &UniqueArena<Type>, words: bool) -> Option<Array> {
    let AddressSpace::Storage { access } = variable.space else { return None };
    let kept = access.contains(StorageAccess::STORE);
    let array = array(variable, types)?;
    Some(Array { texture: true, kept, words: words && kept && !array.single, ..array })
}

/// Declares textures beside the buffers that are also written, and returns them by those.
fn lay_beside(
    module: &mut Module,
    arrays: &[Option<Array>],
    image: Option<Handle<Type>>,
) -> HashMap<Handle<GlobalVariable>, Handle<GlobalVariable>> {
    let variables = module.global_variables.iter().zip(arrays).filter_map(|((handle, variable), array)| {
        array.filter(|array| array.texture && array.kept)?;
        let binding = variable.binding?;
        Some((handle, ResourceBinding { binding: binding.binding + BESIDE, ..binding }, image?))
    });
    let variables: Vec<_> = variables.collect();
    let texture = |(handle, binding, ty)| {
        let texture = GlobalVariable {
            name: None,
            space: AddressSpace::Handle,
            binding: Some(binding),
            ty,
            init: None,
            memory_decorations: Default::default(),
        };
        (handle, module.global_variables.append(texture, Span::UNDEFINED))
    };
    variables.into_iter().map(texture).collect()
}

/// What an expression is of an array.
#[derive(Clone, Copy)]
enum Part {
    Whole(Handle<GlobalVariable>),
    Vector(Handle<GlobalVariable>),
    Number(Handle<GlobalVariable>),
}

/// What an expression is of an array, where it is a pointer to some of one.
fn part(expressions: &Arena<Expression>, expression: Handle<Expression>) -> Option<Part> {
    match expressions[expression] {
        Expression::GlobalVariable(variable) => Some(Part::Whole(variable)),
        Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => match part(expressions, base)? {
            Part::Whole(variable) => Some(Part::Vector(variable)),
            Part::Vector(variable) => Some(Part::Number(variable)),
            Part::Number(_) => None,
        },
        _ => None,
    }
}

fn is_loaded(function: &Function, variable: Handle<GlobalVariable>) -> bool {
    function.expressions.iter().any(|(_, expression)| match expression {
        Expression::Load { pointer } => match part(&function.expressions, *pointer) {
            Some(Part::Vector(loaded) | Part::Number(loaded)) => loaded == variable,
            _ => false,
        },
        _ => false,
    })
}

/// Whether a function asks how long an array is.
fn is_measured(function: &Function, variable: Handle<GlobalVariable>) -> bool {
    function.expressions.iter().any(|(_, expression)| match expression {
        Expression::ArrayLength(array) => {
            matches!(function.expressions[*array], Expression::GlobalVariable(measured) if measured == variable)
        }
        _ => false,
    })
}

/// Visits the pointers through which a block stores.
fn each_store(block: &Block, visit: &mut impl FnMut(Handle<Expression>)) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => visit(*pointer),
            Statement::Block(block) => each_store(block, visit),
            Statement::If { accept: first, reject: second, .. }
            | Statement::Loop { body: first, continuing: second, .. } => {
                each_store(first, visit);
                each_store(second, visit);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| each_store(&case.body, visit)),
            _ => {}
        }
    }
}
