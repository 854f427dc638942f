//! Quotients and remainders of integers, computed in floats.
//!
//! Mesa's software driver divides the numbers of one lane after another, which takes seven times as long. A quotient in
//! `f32` that is rounded down, and the quotient of what remains, are together the whole quotient or one less.

use super::rewriting::Rewriting;
use naga::{
    BinaryOperator, Expression, Function, Handle, Module, Scalar, ScalarKind, TypeInner, VectorSize, front::Typifier,
    proc::ResolveContext,
};
use std::collections::HashMap;

/// Less than one by more than all that is rounded: the two numbers, their quotient, and the product with it.
pub(super) const BELOW_ONE: f32 = 1.0 - 1.0 / (1 << 20) as f32;

/// The quotients and remainders of a function, and the sizes of those that are vectors.
pub(super) type Quotients = HashMap<Handle<Expression>, Option<VectorSize>>;

/// Those of `u32` numbers by what is not known before the kernel runs; drivers multiply and shift for others.
pub(super) fn find(module: &Module, function: &Function) -> Quotients {
    let divides = |expression: &Expression| match *expression {
        Expression::Binary { op: BinaryOperator::Divide | BinaryOperator::Modulo, right, .. } => {
            !is_known(function, right)
        }
        _ => false,
    };
    let mut found = Quotients::new();
    if !function.expressions.iter().any(|(_, expression)| divides(expression)) {
        return found;
    }
    let context = ResolveContext::with_locals(module, &function.local_variables, &function.arguments);
    let mut types = Typifier::new();
    for (handle, expression) in function.expressions.iter() {
        if types.grow(handle, &function.expressions, &context).is_err() {
            return Quotients::new();
        }
        if divides(expression) {
            match *types.get(handle, &module.types) {
                TypeInner::Scalar(Scalar::U32) => _ = found.insert(handle, None),
                TypeInner::Vector { size, scalar: Scalar::U32 } => _ = found.insert(handle, Some(size)),
                _ => {}
            }
        }
    }
    found
}

fn is_known(function: &Function, expression: Handle<Expression>) -> bool {
    match &function.expressions[expression] {
        Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => true,
        Expression::Splat { value, .. } => is_known(function, *value),
        Expression::Compose { components, .. } => components.iter().all(|part| is_known(function, *part)),
        _ => false,
    }
}

impl Rewriting<'_> {
    /// n / d, or n % d; of a divisor of 0 what WGSL says, n and 0.
    pub fn quotient(
        &mut self,
        op: BinaryOperator,
        n: Handle<Expression>,
        d: Handle<Expression>,
        size: Option<VectorSize>,
    ) -> Option<Handle<Expression>> {
        use BinaryOperator as Op;
        let (zero, one, below) = (self.literal(0)?, self.literal(1)?, self.below_one);
        let [zero, one, below] = [zero, one, below].map(|value| match size {
            Some(size) => self.add(Expression::Splat { size, value }),
            None => value,
        });
        let is_zero = self.binary(Op::Equal, d, zero);
        let d = self.add(Expression::Select { condition: is_zero, accept: one, reject: d });
        let of_d = self.cast(d, ScalarKind::Float, Some(4));
        let share = self.binary(Op::Divide, below, of_d);
        let (first, rest) = self.part_of_quotient(n, d, share);
        let (second, rest) = self.part_of_quotient(rest, d, share);
        let is_more = self.binary(Op::GreaterEqual, rest, d);
        let (value, other) = if op == Op::Modulo {
            (rest, self.binary(Op::Subtract, rest, d))
        } else {
            let value = self.binary(Op::Add, first, second);
            (value, self.binary(Op::Add, value, one))
        };
        Some(self.add(Expression::Select { condition: is_more, accept: other, reject: value }))
    }

    /// n·share, rounded down, and what n is more than so many times d.
    fn part_of_quotient(
        &mut self,
        n: Handle<Expression>,
        d: Handle<Expression>,
        share: Handle<Expression>,
    ) -> (Handle<Expression>, Handle<Expression>) {
        let of_n = self.cast(n, ScalarKind::Float, Some(4));
        let part = self.binary(BinaryOperator::Multiply, of_n, share);
        let part = self.cast(part, ScalarKind::Uint, Some(4));
        let product = self.binary(BinaryOperator::Multiply, part, d);
        (part, self.binary(BinaryOperator::Subtract, n, product))
    }
}
