//! Whether all threads of a workgroup reach every barrier together, as WGSL asks and browsers check.
//!
//! naga does not look at it. This follows the uniformity analysis of the WGSL specification and is stricter: a variable
//! is not uniform anywhere in a function as soon as anything that may differ between threads is stored in it once.

use naga::{
    AddressSpace, Arena, Binding, Block, BuiltIn, Expression, Function, Handle, Module, Statement, StorageAccess,
};
use std::collections::{HashMap, HashSet};

/// Says where a barrier may be reached by some threads only.
pub fn check(module: &Module, source: &str) -> Result<(), String> {
    let mut analysis = Analysis { module, source, known: HashMap::new() };
    for point in &module.entry_points {
        let arguments = point.function.arguments.iter().map(|argument| {
            let uniform = matches!(
                argument.binding,
                Some(Binding::BuiltIn(
                    BuiltIn::WorkGroupId
                        | BuiltIn::NumWorkGroups
                        | BuiltIn::WorkGroupSize
                        | BuiltIn::NumSubgroups
                        | BuiltIn::SubgroupSize
                ))
            );
            !uniform
        });
        let called = Called { arguments: arguments.collect(), apart: false };
        analysis.function(&point.function, &called).map_err(|what| format!("{}: {what}", point.name))?;
    }
    Ok(())
}

/// How a function is called: which arguments differ between threads, for a pointer what it points to, and whether
/// only some threads may call it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Called {
    arguments: Vec<bool>,
    apart: bool,
}

/// What a call leaves: whether its value differs between threads, and what pointer arguments then point to.
#[derive(Clone)]
struct Left {
    value: bool,
    arguments: Vec<bool>,
}

/// Ways by which some threads only may leave a block.
#[derive(Clone, Copy, Default)]
struct Ways {
    returns: bool,
    breaks: bool,
    continues: bool,
}

impl Ways {
    fn any(self) -> bool {
        self.returns || self.breaks || self.continues
    }

    fn or(self, other: Ways) -> Ways {
        Ways {
            returns: self.returns || other.returns,
            breaks: self.breaks || other.breaks,
            continues: self.continues || other.continues,
        }
    }
}

struct Analysis<'a> {
    module: &'a Module,
    source: &'a str,
    known: HashMap<(Handle<Function>, Called), Left>,
}

/// What differs between threads in one function, found so far.
struct Differing<'a> {
    expressions: &'a Arena<Expression>,
    variables: HashSet<Handle<naga::LocalVariable>>,
    calls: HashSet<Handle<Expression>>,
    arguments: Vec<bool>,
    value: bool,
}

impl Analysis<'_> {
    fn function(&mut self, function: &Function, called: &Called) -> Result<Left, String> {
        let mut differing = Differing {
            expressions: &function.expressions,
            variables: HashSet::new(),
            calls: HashSet::new(),
            arguments: called.arguments.clone(),
            value: false,
        };
        for (handle, variable) in function.local_variables.iter() {
            if variable.init.is_some_and(|init| self.differs(&differing, init)) {
                differing.variables.insert(handle);
            }
        }
        // Nothing that differs ever becomes the same again, so this ends.
        loop {
            let before = (differing.variables.len(), differing.calls.len(), differing.arguments.clone());
            let result = self.block(&mut differing, &function.body, called.apart);
            if before == (differing.variables.len(), differing.calls.len(), differing.arguments.clone()) {
                result?;
                return Ok(Left { value: differing.value, arguments: differing.arguments });
            }
        }
    }

    /// Whether a value, or what a pointer points to, may differ between the threads of a workgroup.
    fn differs(&self, known: &Differing<'_>, handle: Handle<Expression>) -> bool {
        let any = |list: &[Handle<Expression>]| list.iter().any(|&part| self.differs(known, part));
        match known.expressions[handle] {
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::Override(_)
            | Expression::ZeroValue(_)
            | Expression::ArrayLength(_)
            | Expression::WorkGroupUniformLoadResult { .. } => false,
            Expression::Compose { ref components, .. } => any(components),
            Expression::Access { base, index } => any(&[base, index]),
            Expression::AccessIndex { base, .. }
            | Expression::Splat { value: base, .. }
            | Expression::Swizzle { vector: base, .. }
            | Expression::Load { pointer: base }
            | Expression::Unary { expr: base, .. }
            | Expression::Relational { argument: base, .. }
            | Expression::As { expr: base, .. } => self.differs(known, base),
            Expression::Binary { left, right, .. } => any(&[left, right]),
            Expression::Select { condition, accept, reject } => any(&[condition, accept, reject]),
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(arg), arg1, arg2, arg3].into_iter().flatten().any(|part| self.differs(known, part))
            }
            Expression::FunctionArgument(i) => known.arguments[i as usize],
            Expression::GlobalVariable(variable) => match self.module.global_variables[variable].space {
                AddressSpace::Uniform => false,
                AddressSpace::Storage { access } => access.contains(StorageAccess::STORE),
                _ => true,
            },
            Expression::LocalVariable(variable) => known.variables.contains(&variable),
            Expression::CallResult(_) => known.calls.contains(&handle),
            // Atomics, subgroup operations and whatever else there is.
            _ => true,
        }
    }

    /// The local variable or argument a pointer leads to differs from now on.
    fn taint(known: &mut Differing<'_>, pointer: Handle<Expression>) {
        match known.expressions[pointer] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => Self::taint(known, base),
            Expression::LocalVariable(variable) => drop(known.variables.insert(variable)),
            Expression::FunctionArgument(i) => known.arguments[i as usize] = true,
            _ => {}
        }
    }

    /// Follows a block that only some threads may enter if they are `apart`.
    fn block(&mut self, known: &mut Differing<'_>, block: &Block, mut apart: bool) -> Result<Ways, String> {
        let mut ways = Ways::default();
        for (statement, span) in block.span_iter() {
            let barrier = matches!(
                statement,
                Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) | Statement::WorkGroupUniformLoad { .. }
            );
            if barrier && apart {
                let line = span.location(self.source).line_number;
                return Err(format!("some threads only may reach the barrier in line {line}"));
            }
            let left = match statement {
                Statement::Block(inner) => self.block(known, inner, apart)?,
                Statement::If { condition, accept, reject } => {
                    let apart = apart || self.differs(known, *condition);
                    self.block(known, accept, apart)?.or(self.block(known, reject, apart)?)
                }
                Statement::Switch { selector, cases } => {
                    let apart = apart || self.differs(known, *selector);
                    let mut left = Ways::default();
                    for case in cases {
                        left = left.or(self.block(known, &case.body, apart)?);
                    }
                    // A break leaves the switch, behind which all are together again.
                    Ways { breaks: false, ..left }
                }
                Statement::Loop { body, continuing, break_if } => {
                    let mut inside = apart;
                    let mut round = |inside: &mut bool| -> Result<Ways, String> {
                        let mut left = self.block(known, body, *inside)?;
                        *inside |= left.any();
                        left = left.or(self.block(known, continuing, *inside)?);
                        left.breaks |= break_if.is_some_and(|condition| self.differs(known, condition));
                        *inside |= left.any();
                        Ok(left)
                    };
                    // Threads that leave in one round are missing from the start of the next.
                    let first = round(&mut inside)?;
                    let left = if first.any() { round(&mut inside)? } else { first };
                    Ways { returns: left.returns, ..Ways::default() }
                }
                Statement::Break => Ways { breaks: apart, ..Ways::default() },
                Statement::Continue => Ways { continues: apart, ..Ways::default() },
                Statement::Return { value } => {
                    known.value |= apart || value.is_some_and(|value| self.differs(known, value));
                    Ways { returns: apart, ..Ways::default() }
                }
                Statement::Store { pointer, value } => {
                    if apart || self.differs(known, *pointer) || self.differs(known, *value) {
                        Self::taint(known, *pointer);
                    }
                    Ways::default()
                }
                Statement::Call { function, arguments, result } => {
                    let called =
                        Called { arguments: arguments.iter().map(|&a| self.differs(known, a)).collect(), apart };
                    let left = self.call(*function, &called)?;
                    for (&argument, differs) in arguments.iter().zip(left.arguments) {
                        if differs {
                            Self::taint(known, argument);
                        }
                    }
                    if let Some(result) = result
                        && (left.value || apart)
                    {
                        known.calls.insert(*result);
                    }
                    Ways::default()
                }
                _ => Ways::default(),
            };
            apart |= left.any();
            ways = ways.or(left);
        }
        Ok(ways)
    }

    fn call(&mut self, function: Handle<Function>, called: &Called) -> Result<Left, String> {
        let key = (function, called.clone());
        if let Some(left) = self.known.get(&key) {
            return Ok(left.clone());
        }
        let module = self.module;
        let left = self.function(&module.functions[function], called)?;
        self.known.insert(key, left.clone());
        Ok(left)
    }
}

/// Texts with `BODY` in a function that all threads begin together.
fn verdict(body: &str) -> Result<(), String> {
    let source = format!(
        "@group(0) @binding(0) var<storage, read> x: array<u32>;
         @group(0) @binding(1) var<storage, read_write> y: array<u32>;
         @group(0) @binding(2) var<uniform> size: u32;
         var<workgroup> shared_sum: u32;
         override CHOICE: bool = false;
         fn least(n: u32, i: u32) -> u32 {{ if n < i {{ return n; }} return i; }}
         fn count(n: ptr<function, u32>, by: u32) {{ *n += by; }}
         fn meet() {{ workgroupBarrier(); }}
         @compute @workgroup_size(64)
         fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {{
             {body}
         }}"
    );
    let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
    check(&module, &source)
}

#[test]
fn barriers_that_all_threads_reach_are_accepted() {
    for body in [
        "workgroupBarrier();",
        "if t < 3u { y[t] = 1u; } workgroupBarrier();",
        "if w.x >= size { return; } workgroupBarrier();",
        "for (var i = 0u; i < size; i++) { workgroupBarrier(); }",
        "for (var i = w.x; i < x[size]; i += size) { if CHOICE { workgroupBarrier(); } }",
        "for (var i = t; i < size; i++) { y[i] = 1u; } workgroupBarrier();",
        "for (var i = t; ; i++) { if i > size { break; } if i == 5u { continue; } } workgroupBarrier();",
        "if least(w.x, size) > 2u { meet(); }",
        "var n = 0u; count(&n, w.x); if n > 2u { workgroupBarrier(); }",
        "if workgroupUniformLoad(&shared_sum) == 0u { workgroupBarrier(); }",
        "switch size { case 1u: { workgroupBarrier(); } default: { } }",
    ] {
        verdict(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    }
}

#[test]
fn barriers_that_some_threads_may_miss_are_refused() {
    for body in [
        "if t < 3u { workgroupBarrier(); }",
        "if t >= size { return; } workgroupBarrier();",
        "for (var i = t; i < size; i += 64u) { workgroupBarrier(); }",
        "if y[0] == 1u { workgroupBarrier(); }",
        "if x[t] == 1u { workgroupBarrier(); }",
        "if shared_sum == 1u { workgroupBarrier(); }",
        "for (var i = 0u; i < size; i++) { if x[t] == i { break; } workgroupBarrier(); }",
        "for (var i = 0u; i < size; i++) { workgroupBarrier(); if x[t] == i { break; } }",
        "for (var i = 0u; i < size; i++) { if x[t] == i { continue; } workgroupBarrier(); }",
        "for (var i = 0u; i < size; i++) { if x[t] == i { return; } } workgroupBarrier();",
        "var n = size; if t == 2u { n = 0u; } if n > 2u { workgroupBarrier(); }",
        "var n = 0u; for (var i = 0u; i < size; i++) { if n > 2u { workgroupBarrier(); } n = t; }",
        "if least(w.x, t) > 2u { workgroupBarrier(); }",
        "if t > 2u { meet(); }",
        "var n = 0u; count(&n, t); if n > 2u { workgroupBarrier(); }",
        "if t < 3u { _ = workgroupUniformLoad(&shared_sum); }",
        "switch t { case 1u: { workgroupBarrier(); } default: { } }",
    ] {
        assert!(verdict(body).is_err(), "{body}");
    }
}
