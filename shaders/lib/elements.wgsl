// The elements of y [outer, m, inner], one after the other; `sizes` is the file's uniform, and `taken` what it puts there.
struct Element {
    outer: u32,
    k: u32,
    i: u32,
}

fn element_of(e: u32) -> Element {
    let row = e / sizes.inner;
    let outer = row / sizes.m;
    return Element(outer, row - outer * sizes.m, e - row * sizes.inner);
}

// The element `step` further, which lies in this row or at the beginning of the next.
fn following(element: Element, step: u32) -> Element {
    var next = element;
    next.i += step;
    if next.i >= sizes.inner {
        next.i -= sizes.inner;
        next.k += 1u;
        if next.k == sizes.m {
            next.k = 0u;
            next.outer += 1u;
        }
    }
    return next;
}

// What four elements are, and the one behind them.
struct FourTaken {
    values: vec4<f32>,
    next: Element,
}

fn four_taken(a: Element) -> FourTaken {
    let b = following(a, 1u);
    let c = following(b, 1u);
    let d = following(c, 1u);
    return FourTaken(vec4(taken(a), taken(b), taken(c), taken(d)), following(d, 1u));
}
