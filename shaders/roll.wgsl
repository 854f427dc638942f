// y[o, k, i] = x[o, (k + shift) mod m, i], or x[o, m − 1 − k, i].
//#import chain
//#import elements
//#import index

struct Sizes {
    // Elements, the axis k, and the elements i behind it.
    count: u32,
    m: u32,
    inner: u32,
    shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, m, inner]
@group(0) @binding(1) var<storage, read> x_index: array<u32>; // the same of indices
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [outer, m, inner]
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>; // the same of indices
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Whether the axis is reversed.
override FLIP: bool = false;
// Whether inner is a multiple of 4.
override ALIGNED: bool = false;
// Whether there are a multiple of 4 elements.
override WHOLE: bool = false;
// Whether four neighbours are a vector of x from its end.
override TURNED: bool = false;
// Neighbours that a thread takes: a multiple of 4.
override BLOCK: u32 = 4u;

// Where an element comes from.
fn source(element: Element) -> u32 {
    let k = element.k;
    // k + shift may be beyond 32 bits.
    let rolled = select(k + sizes.shift, k - (sizes.m - sizes.shift), k >= sizes.m - sizes.shift);
    return (element.outer * sizes.m + select(rolled, sizes.m - 1u - k, FLIP)) * sizes.inner + element.i;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    var element = element_of(first);
    for (var e = first; e < min(first + BLOCK, sizes.count); e += select(1u, 4u, ALIGNED || TURNED || WHOLE)) {
        if ALIGNED {
            store4(e, vec4<f32>(x[source(element) / 4u]));
            element = following(element, 4u);
        } else if TURNED {
            store4(e, vec4<f32>(x[source(element) / 4u].wzyx));
            let last = Element(element.outer, element.k + 3u, 0u);
            element = following(last, 1u);
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
    let at = source(element);
    return f32(x[at / 4u][at % 4u]);
}

// The same for index tensors.
@compute @workgroup_size(64)
fn index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    var element = element_of(first);
    for (var e = first; e < min(first + BLOCK, sizes.count); e++) {
        y_index[e] = x_index[source(element)];
        element = following(element, 1u);
    }
}
