//! What a kernel's constants rule out is left out: what it never stores then decides nothing about what it stores.

use naga::{
    Block, Expression, Function, Handle, Literal, Module, Statement,
    compact::{KeepUnused, compact},
};

/// Removes branches that are never taken, and what stands behind a return.
pub(super) fn prune(module: &mut Module) {
    let constants = &module.constants;
    let globals = &module.global_expressions;
    let known = |function: &Function, condition: Handle<Expression>| {
        let literal = match function.expressions[condition] {
            Expression::Constant(constant) => &globals[constants[constant].init],
            ref expression => expression,
        };
        match literal {
            Expression::Literal(Literal::Bool(value)) => Some(*value),
            _ => None,
        }
    };
    let functions = module.functions.iter_mut().map(|(_, function)| function);
    let points = module.entry_points.iter_mut().map(|point| &mut point.function);
    for function in functions.chain(points) {
        let body = std::mem::take(&mut function.body);
        function.body = pruned(body, &|condition| known(function, condition));
        // What only has a name is not used.
        function.named_expressions.clear();
    }
    compact(module, KeepUnused::No);
}

fn pruned(block: Block, known: &impl Fn(Handle<Expression>) -> Option<bool>) -> Block {
    let mut left = Block::new();
    for (statement, span) in block.span_into_iter() {
        match statement {
            Statement::If { condition, accept, reject } => match known(condition) {
                Some(value) => left.extend_block(pruned(if value { accept } else { reject }, known)),
                None => left.push(
                    Statement::If { condition, accept: pruned(accept, known), reject: pruned(reject, known) },
                    span,
                ),
            },
            Statement::Block(inner) => left.push(Statement::Block(pruned(inner, known)), span),
            Statement::Loop { body, continuing, break_if } => left.push(
                Statement::Loop { body: pruned(body, known), continuing: pruned(continuing, known), break_if },
                span,
            ),
            statement => left.push(statement, span),
        }
        if matches!(left.last(), Some(Statement::Return { .. })) {
            break;
        }
    }
    left
}
