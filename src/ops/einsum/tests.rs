//! Equations against their definition.

use crate::{
    kernel::Target,
    prelude::*,
    testing::{Check, Numbers},
};
use std::collections::BTreeMap;

/// The letters of each operand and of the output, with an ellipsis written out in digits.
fn letters(equation: &str, ranks: &[usize]) -> (Vec<Vec<char>>, Vec<char>) {
    let equation: String = equation.chars().filter(|c| *c != ' ').collect();
    let (inputs, output) = equation.split_once("->").map_or((&*equation, None), |(i, o)| (i, Some(o)));
    let hidden = |term: &str, rank: usize| rank + 3 - term.len();
    let most = inputs.split(',').zip(ranks).filter(|(term, _)| term.contains('.'));
    let most = most.map(|(term, &rank)| hidden(term, rank)).max().unwrap_or(0);
    let write = |term: &str, rest: usize| -> Vec<char> {
        let digits: String = (most - rest..most).map(|d| char::from(b'0' + d as u8)).collect();
        term.replace("...", &digits).chars().collect()
    };
    let operands: Vec<Vec<char>> = inputs
        .split(',')
        .zip(ranks)
        .map(|(term, &rank)| write(term, if term.contains('.') { hidden(term, rank) } else { 0 }))
        .collect();
    let output = match output {
        Some(output) => write(output, most),
        None => {
            let mut once: Vec<char> = operands.iter().flatten().copied().collect();
            once.sort_unstable();
            once.retain(|c| c.is_ascii_digit() || operands.iter().flatten().filter(|o| *o == c).count() == 1);
            once.dedup();
            once
        }
    };
    (operands, output)
}

/// The sum over all values of all letters.
fn definition(equation: &str, operands: &[&Numbers]) -> Numbers {
    let ranks: Vec<usize> = operands.iter().map(|x| x.shape().rank()).collect();
    let (terms, output) = letters(equation, &ranks);
    let mut sizes: BTreeMap<char, usize> = BTreeMap::new();
    for (&letter, &size) in terms.iter().zip(operands).flat_map(|(term, x)| term.iter().zip(&x.shape()[..])) {
        let known = sizes.entry(letter).or_insert(size);
        *known = if *known == 1 { size } else { *known };
    }
    let summed: Vec<char> = sizes.keys().copied().filter(|letter| !output.contains(letter)).collect();
    let counts: Shape = summed.iter().map(|letter| sizes[letter]).collect();
    let shape: Shape = output.iter().map(|letter| sizes[letter]).collect();
    Numbers::from_fn(shape, |index| {
        let mut at: BTreeMap<char, usize> = output.iter().copied().zip(index.iter().copied()).collect();
        let terms_of = Numbers::from_fn(&counts, |k| {
            at.extend(summed.iter().copied().zip(k.iter().copied()));
            let element = |(term, x): (&Vec<char>, &&Numbers)| {
                let index: Vec<usize> =
                    term.iter().zip(&x.shape()[..]).map(|(c, &size)| if size == 1 { 0 } else { at[c] }).collect();
                x.at(&index)
            };
            terms.iter().zip(operands).map(element).product()
        });
        terms_of.sum()
    })
}

fn check_two(equation: &str, a: &[usize], b: &[usize]) {
    Check::new(
        |[a, b]: [Tensor; 2]| a.graph().einsum(equation, &[&a, &b]),
        |[a, b]: [Numbers; 2]| definition(equation, &[&a, &b]),
    )
    .shapes([a, b])
    .run();
}

fn check_one(equation: &str, a: &[usize]) {
    Check::new(|[a]: [Tensor; 1]| a.graph().einsum(equation, &[&a]), |[a]: [Numbers; 1]| definition(equation, &[&a]))
        .shapes([a])
        .run();
}

#[test]
fn equations_of_two_match_their_definitions() {
    check_two("ij,jk->ik", &[5, 7], &[7, 3]);
    check_two("i,i->", &[37], &[37]);
    check_two("i,j->ij", &[5], &[7]);
    check_two("bij,bj->bi", &[3, 5, 4], &[3, 4]);
    check_two("bhqd,bhkd->bhqk", &[2, 3, 5, 4], &[2, 3, 6, 4]);
    check_two("bqhd,bkhd->bhqk", &[2, 5, 3, 4], &[2, 6, 3, 4]);
    check_two("bhqk,bkhd->bqhd", &[2, 3, 5, 6], &[2, 6, 3, 4]);
    check_two("...ij,...jk->...ik", &[2, 3, 4, 5], &[3, 5, 2]);
    check_two("...ij,jk", &[2, 3, 4], &[4, 5]);
    check_two("i...,i...", &[3, 4], &[3, 1]);
    check_two("ij,ij->ij", &[3, 5], &[3, 5]);
    check_two("ij,ij->", &[3, 5], &[3, 5]);
    check_two("bij,bij->b", &[4, 3, 5], &[4, 3, 5]);
    check_two("ab,cd->dbca", &[2, 3], &[4, 5]);
    check_two("ii,ij->j", &[4, 4], &[4, 3]);
    check_two("ij,kj->", &[3, 4], &[5, 4]);
    check_two("Ba, aB", &[3, 4], &[4, 3]);
    check_two("ij , jk -> k i", &[1, 4], &[4, 5]);
    check_two("ij,jk->ik", &[3, 1], &[4, 2]);
    check_two("ij,jk->ik", &[3, 0], &[0, 2]);
    check_two("abc,cde->abde", &[1, 1, 1], &[1, 1, 1]);
}

#[test]
fn equations_of_one_match_their_definitions() {
    check_one("ij->ji", &[4, 5]);
    check_one("ij->", &[4, 5]);
    check_one("ij->j", &[4, 5]);
    check_one("ii->i", &[6, 6]);
    check_one("ii", &[5, 5]);
    check_one("iij->ji", &[3, 3, 4]);
    check_one("iii->i", &[4, 4, 4]);
    check_one("ii->i", &[1, 1]);
    check_one("bii->b", &[2, 3, 3]);
    check_one("i...->...", &[3, 2, 4]);
    check_one("...ij->...ji", &[2, 3, 4]);
    check_one("ba", &[2, 3]);
    check_one("ij->ij", &[2, 3]);
}

#[test]
fn random_equations_match_their_definition() {
    let mut state = 11_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..24 {
        // Up to five letters, each in one or both operands and perhaps in the output, in any order.
        let count = 2 + next(4);
        let (mut terms, mut shapes, mut output) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()], Vec::new());
        for letter in "abcde".chars().take(count) {
            let (size, place) = ([1, 2, 3, 4, 5][next(5)], next(3));
            for operand in [0, 1].into_iter().filter(|&operand| place == 2 || place == operand) {
                let at = next(terms[operand].len() + 1);
                terms[operand].insert(at, letter);
                shapes[operand].insert(at, size);
            }
            if next(2) == 0 {
                output.insert(next(output.len() + 1), letter);
            }
        }
        let [a, b] = terms.map(String::from_iter);
        check_two(&format!("{a},{b}->{}", String::from_iter(output)), &shapes[0], &shapes[1]);
    }
}

/// The operations of each dispatch.
fn operations(equation: &str, shapes: &[&[usize]]) -> Vec<String> {
    let graph = Graph::new(Mode::Infer);
    let operands: Vec<Tensor> =
        shapes.iter().enumerate().map(|(i, &shape)| graph.input(&format!("x{i}"), shape)).collect();
    let y = graph.einsum(equation, &operands.iter().collect::<Vec<_>>());
    let plan = graph.plan(&[("y", &y)], &Target::baseline()).unwrap();
    plan.report().steps.into_iter().map(|step| step.ops).collect()
}

#[test]
fn nothing_is_moved_that_can_be_read_where_it_is() {
    for (equation, a, b) in [
        ("ij,jk->ik", &[30, 40][..], &[40, 50][..]),
        ("ji,jk->ki", &[40, 30], &[40, 50]),
        ("ij,kj->ik", &[30, 40], &[50, 40]),
        ("bhqd,bhkd->bhqk", &[2, 3, 10, 40], &[2, 3, 20, 40]),
        ("abcd,cde->abe", &[3, 4, 5, 6], &[5, 6, 70]),
        ("bij,bj->bi", &[3, 50, 60], &[3, 60]),
    ] {
        assert_eq!(operations(equation, &[a, b]), ["matmul"], "{equation}");
    }
    assert_eq!(operations("i,j->ij", &[&[30], &[40]]), ["mul"]);
    assert_eq!(operations("ab,ab->ab", &[&[30, 4], &[30, 4]]), ["mul"]);
}

#[test]
fn second_gradients_exist() {
    Check::new(
        |[a]: [Tensor; 1]| {
            let square = |a: &Tensor| a.graph().einsum("ij,kj->ik", &[a, a]).square();
            crate::ops::map::tests::slope(&a, square)
        },
        |[a]: [Numbers; 1]| {
            // d Σ (a·aᵀ)²/da = 4·a·aᵀ·a
            let product = definition("ij,kj->ik", &[&a, &a]);
            definition("ij,jk->ik", &[&product, &a]).map(|x| 4.0 * x)
        },
    )
    .shapes([[3, 4]])
    .run();
}

#[test]
fn mistakes_quote_the_equation() {
    let said = |equation: &str, shapes: &[&[usize]]| {
        let graph = Graph::new(Mode::Infer);
        let operands: Vec<Tensor> =
            shapes.iter().enumerate().map(|(i, &shape)| graph.input(&format!("x{i}"), shape)).collect();
        assert!(graph.einsum(equation, &operands.iter().collect::<Vec<_>>()).is_failed());
        graph.check().unwrap_err().message().to_owned()
    };
    assert_eq!(said("ij,jk", &[&[2, 3]]), "einsum: \"ij,jk\": it has 2 operands, 1 are given");
    assert_eq!(said("i", &[&[2], &[2], &[2]]), "einsum: \"i\": takes one or two operands, not 3");
    assert_eq!(said("", &[]), "einsum: \"\": takes one or two operands, not 0");
    assert_eq!(said("ij", &[&[2, 3, 4]]), "einsum: \"ij\": it names 2 dimensions of shape [2, 3, 4]");
    assert_eq!(said("i...j", &[&[2]]), "einsum: \"i...j\": it names 2 dimensions of shape [2]");
    assert_eq!(said("i-j", &[&[2, 3]]), "einsum: \"i-j\": '-' is no letter");
    assert_eq!(said("ij->ii", &[&[2, 3]]), "einsum: \"ij->ii\": 'i' is twice in the output");
    assert_eq!(said("ij->ik", &[&[2, 3]]), "einsum: \"ij->ik\": 'k' of the output is in no operand");
    assert_eq!(said("ij,jk", &[&[2, 3], &[4, 5]]), "einsum: \"ij,jk\": one letter stands for sizes 3 and 4");
    assert_eq!(said("ii", &[&[1, 3]]), "einsum: \"ii\": one letter stands for sizes 1 and 3 of shape [1, 3]");
}
