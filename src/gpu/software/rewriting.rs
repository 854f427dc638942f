//! A function written anew, expression by expression, with other loads and stores.

use super::{
    Array, Part, each_store, part,
    quotient::{BELOW_ONE, Quotients},
};
use crate::kernel::TEXTURE_ROW;
use naga::{
    Arena, BinaryOperator, Block, Expression, Function, GlobalVariable, Handle, ImageClass, ImageDimension, Literal,
    Range, Scalar, ScalarKind, Span, Statement, StorageAccess, StorageFormat, SwitchCase, Type, TypeInner, UniqueArena,
    VectorSize,
};
use std::collections::{HashMap, HashSet};

/// The types of two words and of their halves, or of a texture and of a place in it, where there are such.
#[derive(Default)]
pub(super) struct Types {
    pub pair: Option<Handle<Type>>,
    halves: Option<Handle<Type>>,
    pub image: Option<Handle<Type>>,
    place: Option<Handle<Type>>,
}

impl Types {
    pub fn new(types: &mut UniqueArena<Type>, arrays: &[Option<Array>]) -> Types {
        let mut add = |inner| Some(types.insert(Type { name: None, inner }, Span::UNDEFINED));
        let any = |has: fn(&Array) -> bool| arrays.iter().flatten().any(has);
        let mut needed = Types::default();
        // Devices without 64-bit integers refuse a module that as much as names them.
        if any(|array| array.words) {
            needed.pair = add(TypeInner::Vector { size: VectorSize::Bi, scalar: Scalar::U64 });
            needed.halves = add(TypeInner::Vector { size: VectorSize::Quad, scalar: Scalar::U32 });
        }
        if any(|array| array.texture) {
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
pub(super) struct Rewriting<'a> {
    old: &'a Function,
    arrays: &'a [Option<Array>],
    types: &'a Types,
    new: Arena<Expression>,
    /// By old expression: the first of those in its place, and the one with its value.
    places: Vec<(Handle<Expression>, Handle<Expression>)>,
    /// Literals, which stand in front of everything.
    literals: HashMap<u32, Handle<Expression>>,
    /// Textures beside buffers, which stand there too.
    beside: HashMap<Handle<GlobalVariable>, Handle<Expression>>,
    /// Pointers through which something is stored.
    stored: HashSet<Handle<Expression>>,
    quotients: &'a Quotients,
    /// A literal that they need, in front of everything.
    pub below_one: Handle<Expression>,
}

impl<'a> Rewriting<'a> {
    pub fn new(
        old: &'a Function,
        arrays: &'a [Option<Array>],
        types: &'a Types,
        beside: &HashMap<Handle<GlobalVariable>, Handle<GlobalVariable>>,
        quotients: &'a Quotients,
    ) -> Rewriting<'a> {
        let mut new = Arena::new();
        let mut textures: Vec<_> = beside.iter().map(|(&variable, &texture)| (variable, texture)).collect();
        textures.sort_unstable();
        let texture =
            |(variable, texture)| (variable, new.append(Expression::GlobalVariable(texture), Span::UNDEFINED));
        let beside = textures.into_iter().map(texture).collect();
        let mut stored = HashSet::new();
        each_store(&old.body, &mut |pointer| _ = stored.insert(pointer));
        let (places, literals) = (Vec::new(), HashMap::new());
        let below_one = new.append(Expression::Literal(Literal::F32(BELOW_ONE)), Span::UNDEFINED);
        let mut rewriting =
            Rewriting { old, arrays, types, new, places, literals, beside, stored, quotients, below_one };
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

    pub fn literal(&self, number: u32) -> Option<Handle<Expression>> {
        self.literals.get(&number).copied()
    }

    pub fn function(mut self) -> Option<Function> {
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
    pub fn at(&self, old: Handle<Expression>) -> Handle<Expression> {
        self.places[old.index()].1
    }

    pub fn add(&mut self, expression: Expression) -> Handle<Expression> {
        self.new.append(expression, Span::UNDEFINED)
    }

    pub fn binary(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Handle<Expression> {
        self.add(Expression::Binary { op, left, right })
    }

    pub fn cast(&mut self, expr: Handle<Expression>, kind: ScalarKind, convert: Option<u8>) -> Handle<Expression> {
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
            let is_read = array.texture && !self.stored.contains(&handle);
            match part {
                Part::Vector(_) if is_read => return self.place_of_element(expression, array),
                Part::Number(_) if is_read => return self.place_of_number(expression),
                Part::Number(_) => return self.word_of_number(expression),
                Part::Whole(_) | Part::Vector(_) => {}
            }
        }
        if let Expression::Binary { op, left, right } = *expression
            && let Some(size) = self.quotients.get(&handle)
        {
            return self.quotient(op, self.at(left), self.at(right), *size);
        }
        if let Expression::Load { pointer } = *expression
            && let Some((part, array)) = self.part_of_array(pointer)
        {
            if array.texture && !self.stored.contains(&pointer) {
                return self.texel(pointer, part, array);
            }
            if array.words {
                let load = self.add(Expression::Load { pointer: self.at(pointer) });
                return match part {
                    Part::Whole(_) => None,
                    Part::Vector(_) => self.vector(load, array.kind),
                    Part::Number(_) => self.number(load, pointer, array.kind),
                };
            }
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
        let (Part::Whole(variable) | Part::Vector(variable) | Part::Number(variable)) = part;
        let mut value = self.add(Expression::ImageLoad {
            image: self.beside.get(&variable).copied().unwrap_or(self.at(base)),
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
                if let Some((_, array)) = self.part_of_array(*pointer).filter(|(_, array)| array.words) {
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
