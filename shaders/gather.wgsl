// y[o, k, i] = x[o, index[o, k, i], i]; an index past the end of x gives NaN or, where asked, 0.
//#import chain
//#import elements
//#import index

struct Sizes {
    // Elements of y, its axis k, the axis of x, and the elements i behind both.
    count: u32,
    m: u32,
    n: u32,
    inner: u32,
    // How far apart the indices of neighbours along o, k and i are.
    outer_step: u32,
    row_step: u32,
    inner_step: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, n, inner]
@group(0) @binding(1) var<storage, read> x_index: array<u32>; // the same of indices
@group(0) @binding(2) var<storage, read> index: array<u32>; // [outer, m, inner] or [m]
@group(0) @binding(4) var<storage, read_write> y: array<real>; // [outer, m, inner]
@group(0) @binding(5) var<storage, read_write> y_index: array<u32>; // the same of indices
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Whether four neighbours have one index and lie in one vector.
override ALIGNED: bool = false;
// Whether y has a multiple of 4 elements.
override WHOLE: bool = false;
// Neighbours that a thread takes: a multiple of 4.
override BLOCK: u32 = 4u;
// Whether a missing element is 0.
override ZERO: bool = false;

fn index_of(element: Element) -> u32 {
    return index[element.outer * sizes.outer_step + element.k * sizes.row_step + element.i * sizes.inner_step];
}

// Where an index points to in x; any element for one that points nowhere.
fn source(element: Element, id: u32) -> u32 {
    return (element.outer * sizes.n + min(id, max(sizes.n, 1u) - 1u)) * sizes.inner + element.i;
}

fn missing() -> f32 {
    return select(bitcast<f32>(0x7fc00000u | (sizes.count & 1u)), 0.0, ZERO);
}

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    let end = min(first + BLOCK, sizes.count);
    var element = element_of(first);
    for (var e = first; e < end; e += select(1u, 4u, ALIGNED || WHOLE)) {
        if ALIGNED {
            let id = index_of(element);
            store4(e, select(vec4(missing()), vec4<f32>(x[source(element, id) / 4u]), id < sizes.n));
            element = following(element, 4u);
        } else if WHOLE {
            let four = four_taken(element);
            store4(e, four.values);
            element = four.next;
        } else {
            store(e, taken(element));
            element = following(element, 1u);
        }
    }
}

fn taken(element: Element) -> f32 {
    let id = index_of(element);
    let at = source(element, id);
    return select(missing(), f32(x[at / 4u][at % 4u]), id < sizes.n);
}

@compute @workgroup_size(64)
fn gather_index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    let end = min(first + BLOCK, sizes.count);
    var element = element_of(first);
    for (var e = first; e < end; e++) {
        let id = index_of(element);
        y_index[e] = select(0u, x_index[source(element, id)], id < sizes.n);
        element = following(element, 1u);
    }
}

// Backward where no index of a row comes twice: dx[o, index[o, k, i], i] = dy[o, k, i], zero elsewhere.

@group(0) @binding(3) var<storage, read> dy: array<real>; // [outer, m, inner]
@group(0) @binding(6) var<storage, read_write> dx: array<real>; // [outer, n, inner]

@compute @workgroup_size(64)
fn place(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    let end = min(first + BLOCK, sizes.count);
    var element = element_of(first);
    for (var e = first; e < end; e++) {
        let id = index_of(element);
        if id < sizes.n {
            dx[source(element, id)] = dy[e];
        }
        element = following(element, 1u);
    }
}

// Zeros in all `count` elements of dx.
@compute @workgroup_size(64)
fn clear(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.count); e++) {
        dx[e] = real(0.0);
    }
}
