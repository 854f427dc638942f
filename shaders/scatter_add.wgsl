// y[o, t, i] = Σ src[o, k, i] over the k with index[o, k, i] = t, in the order of k; indices past n count for nothing.
//#import chain
//#import index

struct Sizes {
    // Elements of src, its axis k, the axis of y, and the elements i behind both.
    count: u32,
    m: u32,
    n: u32,
    inner: u32,
    // Elements of y.
    total: u32,
    // Sorted elements that a thread adds up, and the blocks of them.
    length: u32,
    blocks: u32,
    // Where the part of y's axis begins that is bound; n and total are those of the part.
    first: u32,
}

@group(0) @binding(0) var<storage, read> index: array<u32>; // [outer, m, inner]
@group(0) @binding(1) var<storage, read> src: array<real>; // [outer, m, inner]
@group(0) @binding(8) var<storage, read_write> sums: array<f32>; // [outer, n, inner]
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Neighbours that a thread takes.
override BLOCK: u32 = 4u;

@compute @workgroup_size(64)
fn clear(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.total); e++) {
        sums[e] = 0.0;
    }
}

// A thread for each pair of o and i, which alone adds to its elements of y.
@compute @workgroup_size(64)
fn columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let column = workgroup_index(group, groups) * 64u + thread;
    if column * sizes.m >= sizes.count {
        return;
    }
    let outer = column / sizes.inner;
    let i = column - outer * sizes.inner;
    for (var k = 0u; k < sizes.m; k++) {
        let e = (outer * sizes.m + k) * sizes.inner + i;
        let t = index[e] - sizes.first;
        if t < sizes.n {
            sums[(outer * sizes.n + t) * sizes.inner + i] += f32(src[e]);
        }
    }
}

// Many indices: the elements of src are sorted by where they go, which brings those of equal indices together. Each sum is
// added to what earlier parts of src have left.

@group(0) @binding(5) var<storage, read_write> targets_found: array<u32>; // [count]

// Where each element goes; past the end of y for indices that count for nothing.
@compute @workgroup_size(64)
fn find_targets(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.count); e++) {
        let row = e / sizes.inner;
        let t = index[e] - sizes.first;
        let to = (row / sizes.m * sizes.n + t) * sizes.inner + e - row * sizes.inner;
        targets_found[e] = select(sizes.total, to, t < sizes.n);
    }
}

@group(0) @binding(2) var<storage, read> targets: array<u32>; // [count], sorted
@group(0) @binding(3) var<storage, read> order: array<u32>; // [count]
@group(0) @binding(4) var<storage, read> values: array<f32>; // [count]
@group(0) @binding(6) var<storage, read_write> border_targets: array<u32>; // [2 · blocks]
@group(0) @binding(7) var<storage, read_write> border_values: array<f32>; // [2 · blocks]

// A run of equal targets inside a block.
struct Run {
    to: u32,
    sum: f32,
    is_first: bool,
}

// Adds an element to the run, or ends it and begins another. A run inside a block is all there is of its target;
// the first one and the last may go on in the blocks beside, so they are left for the next stage.
fn extend(run: Run, to: u32, value: f32, block: u32) -> Run {
    if to == run.to {
        return Run(to, run.sum + value, run.is_first);
    }
    if run.is_first {
        border_targets[2u * block] = run.to;
        border_values[2u * block] = run.sum;
    } else if run.to < sizes.total {
        sums[run.to] += run.sum;
    }
    return Run(to, value, false);
}

fn finish(run: Run, block: u32) {
    // The only run of a block comes once; the other border adds nothing to it.
    if run.is_first {
        border_targets[2u * block] = run.to;
        border_values[2u * block] = run.sum;
    }
    border_targets[2u * block + 1u] = run.to;
    border_values[2u * block + 1u] = select(run.sum, 0.0, run.is_first);
}

// The first stage adds elements of src.
@compute @workgroup_size(64)
fn sum_sources(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = workgroup_index(group, groups) * 64u + thread;
    if block >= sizes.blocks {
        return;
    }
    let first = block * sizes.length;
    var run = Run(targets[first], 0.0, true);
    for (var e = first; e < min(first + sizes.length, sizes.count); e++) {
        run = extend(run, targets[e], f32(src[order[e]]), block);
    }
    finish(run, block);
}

// Further stages add what is left at the borders of blocks.
@compute @workgroup_size(64)
fn sum_borders(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = workgroup_index(group, groups) * 64u + thread;
    if block >= sizes.blocks {
        return;
    }
    let first = block * sizes.length;
    var run = Run(targets[first], 0.0, true);
    for (var e = first; e < min(first + sizes.length, sizes.count); e++) {
        run = extend(run, targets[e], values[e], block);
    }
    finish(run, block);
}

// The last stage has a single block, whose borders are ends.
@compute @workgroup_size(1)
fn sum_rest() {
    var to = targets[0];
    var sum = 0.0;
    for (var e = 0u; e < sizes.count; e++) {
        if targets[e] != to {
            if to < sizes.total {
                sums[to] += sum;
            }
            to = targets[e];
            sum = 0.0;
        }
        sum += values[e];
    }
    if to < sizes.total {
        sums[to] += sum;
    }
}

@group(0) @binding(9) var<storage, read> sums_found: array<f32>; // [outer, n, inner]
@group(0) @binding(10) var<storage, read_write> y: array<real>; // [outer, n, inner]

// Rounds the sums to a narrower type.
@compute @workgroup_size(64)
fn round_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.total); e++) {
        store(e, f32(sums_found[e]));
    }
}
