//! How software drivers read buffers soonest: as textures, or as 64-bit words with two numbers in each.
//!
//! Mesa's software driver runs eight threads in the lanes of a processor's vectors. From a buffer it loads for one lane
//! after another and puts each number in its place by way of memory, which costs more than anything that is then
//! computed with it. From a texture it loads whole vectors and puts them in their places in registers, several times as
//! fast. What it stores goes lane by lane as well, and a word costs as much as a number, so half as many stores do.
//! Kernels stay as they are written: `array<vec4<f32>>` becomes `texture_storage_2d<rgba32float, read>` or
//! `array<vec2<u64>>` in what the driver is given. The textures lie over the buffers' memory: see `block.rs`.

mod rewriting;
#[cfg(test)]
mod tests;

use super::pipeline::Kind;
use naga::{
    AddressSpace, Arena, ArraySize, Block, Expression, Function, GlobalVariable, Handle, Module, Scalar, ScalarKind,
    Span, Statement, Type, TypeInner, UniqueArena, VectorSize,
};
use rewriting::{Rewriting, Types};
use std::collections::HashSet;

/// How a kernel reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Loads {
    /// Whether vectors are read as words.
    pub words: bool,
    /// Which of what the kernel binds it reads by way of a texture, by its place among them: a bit each.
    pub textures: u32,
}

impl Loads {
    /// Rewrites a module, and says in its bindings what has become a texture.
    ///
    /// Words take the place of vectors in what else is read or written: buffers and workgroup memory of `vec4<f32>`,
    /// `vec4<u32>` and `vec4<i32>`. What has a number written by itself is left alone, and the whole module where there is
    /// something this does not know.
    pub(super) fn apply(self, module: &mut Module, bindings: &mut [(u32, Kind)]) {
        let read =
            |place: usize| bindings.get(place).filter(|(_, kind)| *kind == Kind::Read).map(|(number, _)| *number);
        let textures: Vec<u32> = (0..32).filter(|place| self.textures >> place & 1 == 1).filter_map(read).collect();
        let mut arrays: Vec<Option<Array>> = (module.global_variables.iter())
            .map(|(_, variable)| {
                let number = variable.binding.as_ref().map(|binding| binding.binding);
                match number {
                    Some(number) if textures.contains(&number) => through_texture(variable, &module.types),
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
            each_store(function, &function.body, &mut |part| match part {
                Part::Whole(variable) | Part::Vector(variable) => _ = stored.insert(variable),
                // Half of a word cannot be stored.
                Part::Number(variable) => arrays[variable.index()] = None,
            });
        }
        for ((handle, variable), array) in module.global_variables.iter().zip(&mut arrays) {
            let is_loaded = || functions().any(|function| is_loaded(function, handle));
            *array = array.filter(|array| is_loaded() || !array.texture && stored.contains(&handle));
            // Only a buffer knows how long it is.
            if array.is_some_and(|array| array.texture) && functions().any(|function| is_measured(function, handle)) {
                *array = vectors(variable, &module.types).filter(|_| self.words);
            }
        }
        if arrays.iter().all(Option::is_none) {
            return;
        }
        let types = Types::new(&mut module.types, &arrays);
        let rewritten = |function: &Function| Rewriting::new(function, &arrays, &types).function();
        let functions: Option<Vec<_>> = module.functions.iter().map(|(_, function)| rewritten(function)).collect();
        let points: Option<Vec<_>> = module.entry_points.iter().map(|point| rewritten(&point.function)).collect();
        let (Some(functions), Some(points)) = (functions, points) else { return };
        for ((_, function), new) in module.functions.iter_mut().zip(functions) {
            *function = new;
        }
        for (point, new) in module.entry_points.iter_mut().zip(points) {
            point.function = new;
        }
        for ((_, variable), array) in module.global_variables.iter_mut().zip(arrays) {
            let Some(array) = array else { continue };
            if let (true, Some(image)) = (array.texture, types.image) {
                (variable.ty, variable.space) = (image, AddressSpace::Handle);
                let number = variable.binding.as_ref().map(|binding| binding.binding);
                for binding in bindings.iter_mut().filter(|(binding, _)| Some(*binding) == number) {
                    binding.1 = Kind::Texture;
                }
            } else if let Some(base) = types.pair {
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
    /// Whether it is read by way of a texture, not as words.
    texture: bool,
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
    known.then_some(Array { kind: scalar.kind, size, single, texture: false })
}

/// What can be read as words.
fn vectors(variable: &GlobalVariable, types: &UniqueArena<Type>) -> Option<Array> {
    let kept = matches!(variable.space, AddressSpace::Storage { .. } | AddressSpace::WorkGroup);
    array(variable, types).filter(|array| kept && !array.single)
}

/// What can be read by way of a texture.
fn through_texture(variable: &GlobalVariable, types: &UniqueArena<Type>) -> Option<Array> {
    let kept = matches!(variable.space, AddressSpace::Storage { .. });
    array(variable, types).filter(|_| kept).map(|array| Array { texture: true, ..array })
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

/// Visits what a block stores to, where that is some of an array.
fn each_store(function: &Function, block: &Block, visit: &mut impl FnMut(Part)) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => part(&function.expressions, *pointer).into_iter().for_each(&mut *visit),
            Statement::Block(block) => each_store(function, block, visit),
            Statement::If { accept, reject, .. } => {
                each_store(function, accept, visit);
                each_store(function, reject, visit);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| each_store(function, &case.body, visit)),
            Statement::Loop { body, continuing, .. } => {
                each_store(function, body, visit);
                each_store(function, continuing, visit);
            }
            _ => {}
        }
    }
}
