//! How software drivers read buffers soonest: by way of textures, or as 64-bit words with two numbers in each.
//!
//! Mesa's software driver runs eight threads in the lanes of a processor's vectors. From a buffer it loads for one lane
//! after another and puts each number in its place by way of memory, which costs more than anything that is then
//! computed with it. From a texture it loads whole vectors and puts them in their places in registers, several times as
//! fast, the copy of the buffer into the texture included. Where there is no texture, a word costs as much as a number, so
//! half as many loads do. Kernels stay as they are written: `array<vec4<f32>>` becomes
//! `texture_storage_2d<rgba32float, read>` or `array<vec2<u64>>` in what the driver is given.

use super::pipeline::Kind;
use crate::kernel::TEXTURE_ROW;
use naga::{
    AddressSpace, Arena, ArraySize, BinaryOperator, Block, Expression, Function, GlobalVariable, Handle, ImageClass,
    ImageDimension, Literal, Module, Range, Scalar, ScalarKind, Span, Statement, StorageAccess, StorageFormat,
    SwitchCase, Type, TypeInner, UniqueArena, VectorSize,
};
use std::collections::HashMap;

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
    /// Words take the place of vectors in what else is read: buffers and workgroup memory of `vec4<f32>`, `vec4<u32>` and
    /// `vec4<i32>`. What is also written is left alone where a number is written by itself, and the whole module where
    /// there is something this does not know.
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
        for ((handle, variable), array) in module.global_variables.iter().zip(&mut arrays) {
            *array = array.filter(|_| functions().any(|function| is_loaded(function, handle)));
            // Only a buffer knows how long it is.
            if array.is_some_and(|array| array.texture) && functions().any(|function| is_measured(function, handle)) {
                *array = vectors(variable, &module.types).filter(|_| self.words);
            }
        }
        for function in functions() {
            refuse_single_stores(function, &function.body, &mut arrays);
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

/// Forgets the arrays in which a block stores numbers by themselves: half of a word cannot be.
fn refuse_single_stores(function: &Function, block: &Block, arrays: &mut [Option<Array>]) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => {
                if let Some(Part::Number(variable)) = part(&function.expressions, *pointer) {
                    arrays[variable.index()] = None;
                }
            }
            Statement::Block(block) => refuse_single_stores(function, block, arrays),
            Statement::If { accept, reject, .. } => {
                refuse_single_stores(function, accept, arrays);
                refuse_single_stores(function, reject, arrays);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    refuse_single_stores(function, &case.body, arrays);
                }
            }
            Statement::Loop { body, continuing, .. } => {
                refuse_single_stores(function, body, arrays);
                refuse_single_stores(function, continuing, arrays);
            }
            _ => {}
        }
    }
}

/// The types of two words and of their halves, or of a texture and of a place in it, where there are such.
#[derive(Default)]
struct Types {
    pair: Option<Handle<Type>>,
    halves: Option<Handle<Type>>,
    image: Option<Handle<Type>>,
    place: Option<Handle<Type>>,
}

impl Types {
    fn new(types: &mut UniqueArena<Type>, arrays: &[Option<Array>]) -> Types {
        let mut add = |inner| Some(types.insert(Type { name: None, inner }, Span::UNDEFINED));
        let any = |texture: bool| arrays.iter().flatten().any(|array| array.texture == texture);
        let mut needed = Types::default();
        // Devices without 64-bit integers refuse a module that as much as names them.
        if any(false) {
            needed.pair = add(TypeInner::Vector { size: VectorSize::Bi, scalar: Scalar::U64 });
            needed.halves = add(TypeInner::Vector { size: VectorSize::Quad, scalar: Scalar::U32 });
        }
        if any(true) {
            let class = ImageClass::Storage { format: StorageFormat::Rgba32Float, access: StorageAccess::LOAD };
            needed.image = add(TypeInner::Image { dim: ImageDimension::D2, arrayed: false, class });
            needed.place = add(TypeInner::Vector { size: VectorSize::Bi, scalar: Scalar::U32 });
        }
        needed
    }
}

const HALF_BITS: u32 = 32;
const HALF_BITS_LOG: u32 = 5;

/// The column and the row of a texture in which a vector lies.
fn texel(vector: u32) -> [u32; 2] {
    [vector % TEXTURE_ROW, vector / TEXTURE_ROW]
}

/// A function while its expressions are written anew, each where it was, with what it takes to read in front.
struct Rewriting<'a> {
    old: &'a Function,
    arrays: &'a [Option<Array>],
    types: &'a Types,
    new: Arena<Expression>,
    /// By old expression: the first of those in its place, and the one with its value.
    places: Vec<(Handle<Expression>, Handle<Expression>)>,
    /// Literals, which stand in front of everything.
    literals: HashMap<u32, Handle<Expression>>,
}

impl<'a> Rewriting<'a> {
    fn new(old: &'a Function, arrays: &'a [Option<Array>], types: &'a Types) -> Rewriting<'a> {
        let mut rewriting =
            Rewriting { old, arrays, types, new: Arena::new(), places: Vec::new(), literals: HashMap::new() };
        for number in [0, 1, 2, 3, HALF_BITS, HALF_BITS_LOG, TEXTURE_ROW - 1, TEXTURE_ROW.ilog2()] {
            rewriting.add_literal(number);
        }
        for (_, expression) in old.expressions.iter() {
            if let Expression::AccessIndex { index, .. } = *expression {
                let [column, row] = texel(index);
                let [single_column, single_row] = texel(index / 4);
                for number in [column, row, single_column, single_row] {
                    rewriting.add_literal(number);
                }
            }
        }
        rewriting
    }

    fn add_literal(&mut self, number: u32) {
        let new = &mut self.new;
        let literal = || new.append(Expression::Literal(Literal::U32(number)), Span::UNDEFINED);
        self.literals.entry(number).or_insert_with(literal);
    }

    fn literal(&self, number: u32) -> Option<Handle<Expression>> {
        self.literals.get(&number).copied()
    }

    fn function(mut self) -> Option<Function> {
        for (handle, expression) in self.old.expressions.iter() {
            let before = self.new.len();
            let value = self.expression(handle, expression)?;
            let (first, _) = self.new.range_from(before).first_and_last()?;
            self.places.push((first, value));
        }
        let mut local_variables = self.old.local_variables.clone();
        for (_, variable) in local_variables.iter_mut() {
            variable.init = variable.init.map(|init| self.at(init));
        }
        let body = self.block(&self.old.body)?;
        Some(Function {
            name: self.old.name.clone(),
            arguments: self.old.arguments.clone(),
            result: self.old.result.clone(),
            local_variables,
            expressions: self.new,
            named_expressions: Default::default(),
            body,
            diagnostic_filter_leaf: self.old.diagnostic_filter_leaf,
        })
    }

    /// Where the value of an old expression is now.
    fn at(&self, old: Handle<Expression>) -> Handle<Expression> {
        self.places[old.index()].1
    }

    fn add(&mut self, expression: Expression) -> Handle<Expression> {
        self.new.append(expression, Span::UNDEFINED)
    }

    fn binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Handle<Expression> {
        self.add(Expression::Binary { op, left, right })
    }

    fn cast(&mut self, expr: Handle<Expression>, kind: ScalarKind, convert: Option<u8>) -> Handle<Expression> {
        self.add(Expression::As { expr, kind, convert })
    }

    /// The bits of numbers as what they are.
    fn bits_as(&mut self, bits: Handle<Expression>, kind: ScalarKind) -> Handle<Expression> {
        if kind == ScalarKind::Uint { bits } else { self.cast(bits, kind, None) }
    }

    /// The part of a rewritten array that an expression is.
    fn part_of_array(&self, expression: Handle<Expression>) -> Option<(Part, Array)> {
        let part = part(&self.old.expressions, expression)?;
        let (Part::Whole(variable) | Part::Vector(variable) | Part::Number(variable)) = part;
        Some((part, self.arrays[variable.index()]?))
    }

    fn expression(&mut self, handle: Handle<Expression>, expression: &Expression) -> Option<Handle<Expression>> {
        if let Some((part, array)) = self.part_of_array(handle) {
            match part {
                Part::Vector(_) if array.texture => return self.place_of_element(expression, array),
                Part::Number(_) if array.texture => return self.place_of_number(expression),
                Part::Number(_) => return self.word_of_number(expression),
                Part::Whole(_) | Part::Vector(_) => {}
            }
        }
        if let Expression::Load { pointer } = *expression
            && let Some((part, array)) = self.part_of_array(pointer)
        {
            if array.texture {
                return self.texel(pointer, part, array);
            }
            let load = self.add(Expression::Load { pointer: self.at(pointer) });
            return match part {
                Part::Whole(_) => None,
                Part::Vector(_) => self.vector(load, array.kind),
                Part::Number(_) => self.number(load, pointer, array.kind),
            };
        }
        let mut expression = expression.clone();
        each_operand(&mut expression, |operand| *operand = self.at(*operand))?;
        Some(self.add(expression))
    }

    /// Column and row of the vector that an element of an array is, or lies in.
    fn place_of_element(&mut self, expression: &Expression, array: Array) -> Option<Handle<Expression>> {
        let components = match *expression {
            Expression::AccessIndex { index, .. } => {
                let [column, row] = texel(if array.single { index / 4 } else { index });
                vec![self.literal(column)?, self.literal(row)?]
            }
            Expression::Access { index, .. } => {
                let mut vector = self.cast(self.at(index), ScalarKind::Uint, Some(4));
                if array.single {
                    vector = self.binary(BinaryOperator::ShiftRight, vector, self.literal(2)?);
                }
                let column = self.binary(BinaryOperator::And, vector, self.literal(TEXTURE_ROW - 1)?);
                let row = self.binary(BinaryOperator::ShiftRight, vector, self.literal(TEXTURE_ROW.ilog2())?);
                vec![column, row]
            }
            _ => return None,
        };
        Some(self.add(Expression::Compose { ty: self.types.place?, components }))
    }

    /// The vector that a number lies in has the place; what stands here is not used.
    fn place_of_number(&mut self, expression: &Expression) -> Option<Handle<Expression>> {
        let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) = *expression else { return None };
        Some(self.add(Expression::AccessIndex { base: self.at(base), index: 0 }))
    }

    /// What a texture holds of an element or a number.
    fn texel(&mut self, pointer: Handle<Expression>, part: Part, array: Array) -> Option<Handle<Expression>> {
        let (element, number) = match part {
            Part::Whole(_) => return None,
            Part::Vector(_) => (pointer, array.single.then_some(pointer)),
            Part::Number(_) => match self.old.expressions[pointer] {
                Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => (base, Some(pointer)),
                _ => return None,
            },
        };
        let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) = self.old.expressions[element]
        else {
            return None;
        };
        let mut value = self.add(Expression::ImageLoad {
            image: self.at(base),
            coordinate: self.at(element),
            array_index: None,
            sample: None,
            level: None,
        });
        if let Some(number) = number {
            value = match self.old.expressions[number] {
                Expression::AccessIndex { index, .. } => {
                    self.add(Expression::AccessIndex { base: value, index: index % 4 })
                }
                Expression::Access { index, .. } => {
                    let index = self.cast(self.at(index), ScalarKind::Uint, Some(4));
                    let index = self.binary(BinaryOperator::And, index, self.literal(3)?);
                    self.add(Expression::Access { base: value, index })
                }
                _ => return None,
            };
        }
        Some(if array.kind == ScalarKind::Float { value } else { self.cast(value, array.kind, None) })
    }

    /// The pointer to the word a number of a vector lies in.
    fn word_of_number(&mut self, expression: &Expression) -> Option<Handle<Expression>> {
        match *expression {
            Expression::AccessIndex { base, index } => {
                Some(self.add(Expression::AccessIndex { base: self.at(base), index: index / 2 }))
            }
            Expression::Access { base, index } => {
                let index = self.cast(self.at(index), ScalarKind::Uint, Some(4));
                let index = self.binary(BinaryOperator::ShiftRight, index, self.literal(1)?);
                Some(self.add(Expression::Access { base: self.at(base), index }))
            }
            _ => None,
        }
    }

    /// One number of a word that was loaded.
    fn number(
        &mut self,
        word: Handle<Expression>,
        pointer: Handle<Expression>,
        kind: ScalarKind,
    ) -> Option<Handle<Expression>> {
        let word = match self.old.expressions[pointer] {
            Expression::AccessIndex { index, .. } if index % 2 == 0 => word,
            Expression::AccessIndex { .. } => self.binary(BinaryOperator::ShiftRight, word, self.literal(HALF_BITS)?),
            Expression::Access { index, .. } => {
                let index = self.cast(self.at(index), ScalarKind::Uint, Some(4));
                let half = self.binary(BinaryOperator::And, index, self.literal(1)?);
                let bits = self.binary(BinaryOperator::ShiftLeft, half, self.literal(HALF_BITS_LOG)?);
                self.binary(BinaryOperator::ShiftRight, word, bits)
            }
            _ => return None,
        };
        let bits = self.cast(word, ScalarKind::Uint, Some(4));
        Some(self.bits_as(bits, kind))
    }

    /// The four numbers of two words.
    fn vector(&mut self, words: Handle<Expression>, kind: ScalarKind) -> Option<Handle<Expression>> {
        let mut halves = Vec::with_capacity(4);
        for index in 0..2 {
            let word = self.add(Expression::AccessIndex { base: words, index });
            halves.push(self.cast(word, ScalarKind::Uint, Some(4)));
            let high = self.binary(BinaryOperator::ShiftRight, word, self.literal(HALF_BITS)?);
            halves.push(self.cast(high, ScalarKind::Uint, Some(4)));
        }
        let bits = self.add(Expression::Compose { ty: self.types.halves?, components: halves });
        Some(self.bits_as(bits, kind))
    }

    /// Two words of four numbers.
    fn words(&mut self, vector: Handle<Expression>, kind: ScalarKind) -> Option<Handle<Expression>> {
        let bits = if kind == ScalarKind::Uint { vector } else { self.cast(vector, ScalarKind::Uint, None) };
        let mut words = Vec::with_capacity(2);
        for index in [0, 2] {
            let low = self.add(Expression::AccessIndex { base: bits, index });
            let low = self.cast(low, ScalarKind::Uint, Some(8));
            let high = self.add(Expression::AccessIndex { base: bits, index: index + 1 });
            let high = self.cast(high, ScalarKind::Uint, Some(8));
            let high = self.binary(BinaryOperator::ShiftLeft, high, self.literal(HALF_BITS)?);
            words.push(self.binary(BinaryOperator::InclusiveOr, low, high));
        }
        Some(self.add(Expression::Compose { ty: self.types.pair?, components: words }))
    }

    fn block(&mut self, block: &Block) -> Option<Block> {
        let mut new = Block::with_capacity(block.len());
        for (statement, &span) in block.span_iter() {
            let statement = self.statement(statement, &mut new)?;
            new.push(statement, span);
        }
        Some(new)
    }

    /// A statement with the new expressions; what must come in front of it goes to the block.
    fn statement(&mut self, statement: &Statement, block: &mut Block) -> Option<Statement> {
        Some(match statement {
            Statement::Emit(range) => match range.first_and_last() {
                Some((first, last)) => {
                    Statement::Emit(Range::new_from_bounds(self.places[first.index()].0, self.at(last)))
                }
                None => Statement::Emit(self.new.range_from(self.new.len())),
            },
            Statement::Store { pointer, value } => {
                let mut stored = self.at(*value);
                if let Some((_, array)) = self.part_of_array(*pointer) {
                    let before = self.new.len();
                    stored = self.words(stored, array.kind)?;
                    block.push(Statement::Emit(self.new.range_from(before)), Span::UNDEFINED);
                }
                Statement::Store { pointer: self.at(*pointer), value: stored }
            }
            Statement::Block(inner) => Statement::Block(self.block(inner)?),
            Statement::If { condition, accept, reject } => Statement::If {
                condition: self.at(*condition),
                accept: self.block(accept)?,
                reject: self.block(reject)?,
            },
            Statement::Switch { selector, cases } => {
                let cases = cases.iter().map(|case| Some(SwitchCase { body: self.block(&case.body)?, ..case.clone() }));
                let cases = cases.collect::<Option<Vec<_>>>()?;
                Statement::Switch { selector: self.at(*selector), cases }
            }
            Statement::Loop { body, continuing, break_if } => Statement::Loop {
                body: self.block(body)?,
                continuing: self.block(continuing)?,
                break_if: break_if.map(|condition| self.at(condition)),
            },
            Statement::Return { value } => Statement::Return { value: value.map(|value| self.at(value)) },
            Statement::Break | Statement::Continue | Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) => {
                statement.clone()
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                Statement::WorkGroupUniformLoad { pointer: self.at(*pointer), result: self.at(*result) }
            }
            Statement::Call { function, arguments, result } => {
                if arguments.iter().any(|argument| self.part_of_array(*argument).is_some()) {
                    return None;
                }
                Statement::Call {
                    function: *function,
                    arguments: arguments.iter().map(|argument| self.at(*argument)).collect(),
                    result: result.map(|result| self.at(result)),
                }
            }
            Statement::SubgroupBallot { result, predicate } => Statement::SubgroupBallot {
                result: self.at(*result),
                predicate: predicate.map(|predicate| self.at(predicate)),
            },
            Statement::SubgroupGather { mode, argument, result } => Statement::SubgroupGather {
                mode: self.gather(*mode),
                argument: self.at(*argument),
                result: self.at(*result),
            },
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                Statement::SubgroupCollectiveOperation {
                    op: *op,
                    collective_op: *collective_op,
                    argument: self.at(*argument),
                    result: self.at(*result),
                }
            }
            _ => return None,
        })
    }

    fn gather(&self, mode: naga::GatherMode) -> naga::GatherMode {
        use naga::GatherMode::{
            Broadcast, BroadcastFirst, QuadBroadcast, QuadSwap, Shuffle, ShuffleDown, ShuffleUp, ShuffleXor,
        };
        match mode {
            Broadcast(lane) => Broadcast(self.at(lane)),
            Shuffle(lane) => Shuffle(self.at(lane)),
            ShuffleDown(by) => ShuffleDown(self.at(by)),
            ShuffleUp(by) => ShuffleUp(self.at(by)),
            ShuffleXor(by) => ShuffleXor(self.at(by)),
            QuadBroadcast(lane) => QuadBroadcast(self.at(lane)),
            BroadcastFirst | QuadSwap(_) => mode,
        }
    }
}

/// Visits the operands of an expression; none where it is one that kernels do not have.
fn each_operand(expression: &mut Expression, mut visit: impl FnMut(&mut Handle<Expression>)) -> Option<()> {
    use Expression as E;
    match expression {
        E::Literal(_)
        | E::Constant(_)
        | E::Override(_)
        | E::ZeroValue(_)
        | E::FunctionArgument(_)
        | E::GlobalVariable(_)
        | E::LocalVariable(_)
        | E::CallResult(_)
        | E::AtomicResult { .. }
        | E::WorkGroupUniformLoadResult { .. }
        | E::SubgroupBallotResult
        | E::SubgroupOperationResult { .. } => {}
        E::Compose { components, .. } => components.iter_mut().for_each(visit),
        E::Access { base, index } => [base, index].into_iter().for_each(visit),
        E::AccessIndex { base: operand, .. }
        | E::Splat { value: operand, .. }
        | E::Swizzle { vector: operand, .. }
        | E::Load { pointer: operand }
        | E::Unary { expr: operand, .. }
        | E::Relational { argument: operand, .. }
        | E::As { expr: operand, .. }
        | E::ArrayLength(operand) => visit(operand),
        E::Binary { left, right, .. } => [left, right].into_iter().for_each(visit),
        E::Select { condition, accept, reject } => [condition, accept, reject].into_iter().for_each(visit),
        E::Math { arg, arg1, arg2, arg3, .. } => {
            visit(arg);
            [arg1, arg2, arg3].into_iter().flatten().for_each(visit);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    const WORDS: Loads = Loads { words: true, textures: 0 };
    const TEXTURES: Loads = Loads { words: true, textures: u32::MAX };

    /// What a module binds.
    fn bindings(module: &Module) -> Vec<(u32, Kind)> {
        let variables = module.global_variables.iter().filter_map(|(_, variable)| {
            let kind = match variable.space {
                AddressSpace::Storage { access } if access == StorageAccess::LOAD => Kind::Read,
                AddressSpace::Storage { .. } => Kind::ReadWrite,
                _ => Kind::Uniform,
            };
            Some((variable.binding.as_ref()?.binding, kind))
        });
        let mut bindings: Vec<_> = variables.collect();
        bindings.sort_unstable_by_key(|(number, _)| *number);
        bindings
    }

    /// The module that reads in another way, valid, in WGSL.
    fn rewritten(text: &str, loads: Loads) -> String {
        let mut module = naga::front::wgsl::parse_str(text).unwrap();
        let mut bindings = bindings(&module);
        loads.apply(&mut module, &mut bindings);
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
        let info = info.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
        naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty()).unwrap()
    }

    fn arrays_of_words(text: &str) -> usize {
        rewritten(text, WORDS).matches("array<vec2<u64>").count()
    }

    fn textures(text: &str) -> usize {
        rewritten(text, TEXTURES).matches("texture_storage_2d<rgba32float,read>").count()
    }

    #[test]
    fn vectors_that_are_read_become_words() {
        let module = |body: &str| {
            format!(
                "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
                @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
                @group(0) @binding(2) var<storage, read> ids: array<vec4<u32>>;
                @group(0) @binding(3) var<storage, read> numbers: array<f32>;
                var<workgroup> kept: array<vec4<i32>, 64>;
                @compute @workgroup_size(64)
                fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {body} }}"
            )
        };
        // What is only written, and what has no vectors, stays.
        assert_eq!(arrays_of_words(&module("y[i] = x[i] + numbers[i];")), 1);
        assert_eq!(arrays_of_words(&module("y[i] = vec4<f32>(ids[i]) + x[i].x + x[i][i % 4u] + x[ids[i].w].z;")), 2);
        // What is read and written is read and written in words, unless a number is written by itself.
        assert_eq!(arrays_of_words(&module("y[i] = y[i] + 1.0;")), 1);
        assert_eq!(arrays_of_words(&module("for (var j = 0u; j < 4u; j++) { if i > j { y[i][j] = y[i].x; } }")), 0);
        // Workgroup memory is memory like any other there.
        assert_eq!(
            arrays_of_words(&module("kept[i] = vec4<i32>(x[i]); workgroupBarrier(); y[i] = vec4<f32>(kept[63u - i]);")),
            2
        );
        // How long an array is does not change.
        let lengths = |loads| rewritten(&module("if i < arrayLength(&x) { y[i] = x[i]; }"), loads);
        for loads in [WORDS, TEXTURES] {
            assert!(lengths(loads).contains("arrayLength((&x))"), "{}", lengths(loads));
        }
    }

    #[test]
    fn what_is_only_read_becomes_textures() {
        let module = |body: &str| {
            format!(
                "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
                @group(0) @binding(1) var<storage, read> ids: array<u32>;
                @group(0) @binding(2) var<storage, read> halves: array<vec2<f32>>;
                @group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
                fn of_x(i: u32) -> vec4<f32> {{ return x[i]; }}
                @compute @workgroup_size(64)
                fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {body} }}"
            )
        };
        // Vectors and numbers, whole and in parts, at places that are known and that are not.
        assert_eq!(textures(&module("y[i] = of_x(i);")), 1);
        assert_eq!(textures(&module("y[i] = x[i] * x[70000].x + x[i][i % 4u];")), 1);
        assert_eq!(textures(&module("y[i] = x[ids[i]] + f32(ids[5]);")), 2);
        assert_eq!(textures(&module("for (var j = 0u; j < ids[i]; j++) { y[j] = x[j + 1u].yxwz; }")), 2);
        // A signed index, and pairs, which stay.
        assert_eq!(textures(&module("y[i] = x[i32(i) - 1] + halves[i].xyxy;")), 1);
        // A vector lies in a row of 4096, a number in its vector.
        let places = rewritten(&module("y[i] = x[4097] + f32(ids[4u * 4096u * 2u + 6u]);"), TEXTURES);
        for place in ["vec2<u32>(1u, 1u)", "vec2<u32>(1u, 2u)", ".z"] {
            assert!(places.contains(place), "{place}: {places}");
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let text = "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
            @group(0) @binding(1) var<storage, read_write> y: atomic<u32>;
            @compute @workgroup_size(1) fn main() { atomicAdd(&y, u32(x[0].x)); }";
        assert_eq!(arrays_of_words(text), 0);
    }

    #[test]
    fn every_kernel_for_software_drivers_is_known() {
        use crate::{
            catalogue::{Size, entries},
            data::DType,
            kernel::{DeviceClass, Target, assemble},
        };
        let software = Target { f16: true, ..Target::baseline().with_class(DeviceClass::Software) };
        let targets = [software.clone(), Target { subgroups: true, ..software }];
        let mut seen = std::collections::HashSet::new();
        for entry in entries() {
            for size in [Size::Tiny, Size::Medium] {
                let example = entry.example(size, DType::F32);
                let tensors: Vec<_> = example.outputs().iter().cloned().chain(example.gradients()).collect();
                let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
                let outputs: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
                for target in &targets {
                    let Ok(plan) = example.graph().plan(&outputs, target) else { continue };
                    let texts = plan.kernels().map(|kernel| assemble(kernel).unwrap());
                    seen.extend(texts.filter(|text| text.contains("array<vec4<")));
                }
            }
        }
        assert!(seen.len() > 100, "{}", seen.len());
        for text in &seen {
            let module = naga::front::wgsl::parse_str(text).unwrap();
            let before = bindings(&module);
            for loads in [WORDS, TEXTURES] {
                let (mut other, mut after) = (module.clone(), before.clone());
                loads.apply(&mut other, &mut after);
                let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&other);
                info.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
                let reads =
                    text.lines().any(|line| line.contains("var<storage, read>") && line.contains("array<vec4<"));
                assert!(!reads || format!("{other:?}") != format!("{module:?}"), "{text}");
                // What a plan copies into a texture is read from there: all vectors and numbers of 32 bits.
                let buffers: Vec<u32> =
                    after.iter().filter(|(_, kind)| *kind == Kind::Read).map(|(number, _)| *number).collect();
                let left = module.global_variables.iter().any(|(_, variable)| {
                    let number = variable.binding.as_ref().map(|binding| binding.binding);
                    number.is_some_and(|number| buffers.contains(&number)) && array(variable, &module.types).is_some()
                });
                assert!(loads == WORDS || !left, "{buffers:?} stay buffers in {text}");
            }
        }
    }
}
