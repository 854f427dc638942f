// y[o, k, i] = Σ x[o, j, i], or Π, over the j ≤ k; or over the j ≥ k.
// Rows are cut along n into parts; the totals of parts are scanned first, then each part with the total before it.
//#import chain
//#import index

struct Sizes {
    n: u32,
    inner: u32,
    // Elements of a part, and parts of a row.
    length: u32,
    parts: u32,
    // Parts of all rows.
    count: u32,
    // Whether they run from the last element to the first.
    reverse: u32,
}

@group(0) @binding(0) var<storage, read> x: array<real>; // [outer, n, inner]
@group(0) @binding(1) var<storage, read> totals: array<f32>; // [outer, parts, inner], scanned
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [outer, n, inner]
@group(0) @binding(3) var<storage, read_write> totals_found: array<f32>; // [outer, parts, inner]
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Whether numbers are multiplied; else they are added.
override PRODUCT: bool = false;
// Whether there are parts before this one.
override CONTINUED: bool = false;

// The combination of a part so far: of the last few elements, of up to 16 such blocks, and of all before, so that
// rounding errors stay those of short sums.
struct Running {
    block: f32,
    group: f32,
    rest: f32,
}

// With one more element, the k-th.
fn extended(running: Running, k: u32, value: f32) -> Running {
    var next = running;
    if k % 16u == 0u {
        next.group = combined(next.group, next.block);
        next.block = neutral();
        if k % 256u == 0u {
            next.rest = combined(next.rest, next.group);
            next.group = neutral();
        }
    }
    next.block = combined(next.block, value);
    return next;
}

fn whole(running: Running) -> f32 {
    return combined(running.rest, combined(running.group, running.block));
}

// A part: `length` elements of a row from the one at `begin` on, `step` apart (which wraps around when reversed).
struct Part {
    outer: u32,
    number: u32,
    i: u32,
    begin: u32,
    length: u32,
    step: u32,
}

fn part_of(number: u32) -> Part {
    let row = number / sizes.inner;
    let outer = row / sizes.parts;
    let part = row - outer * sizes.parts;
    let i = number - row * sizes.inner;
    let k = part * sizes.length;
    let backwards = sizes.reverse != 0u;
    let begin = (outer * sizes.n + select(k, sizes.n - 1u - k, backwards)) * sizes.inner + i;
    let step = select(sizes.inner, 0u - sizes.inner, backwards);
    return Part(outer, part, i, begin, min(sizes.length, sizes.n - k), step);
}

fn neutral() -> f32 {
    return select(0.0, 1.0, PRODUCT);
}

fn combined(a: f32, b: f32) -> f32 {
    return select(a + b, a * b, PRODUCT);
}

// The total of each part.
@compute @workgroup_size(64)
fn find_totals(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    if number >= sizes.count {
        return;
    }
    let part = part_of(number);
    var running = Running(neutral(), neutral(), neutral());
    var at = part.begin;
    for (var k = 0u; k < part.length; k++) {
        running = extended(running, k, f32(x[at]));
        at += part.step;
    }
    totals_found[number] = whole(running);
}

// The elements of each part.
@compute @workgroup_size(64)
fn scan(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    if number >= sizes.count {
        return;
    }
    let part = part_of(number);
    var running = Running(neutral(), neutral(), neutral());
    if CONTINUED && part.number > 0u {
        running.rest = totals[number - sizes.inner];
    }
    var at = part.begin;
    for (var k = 0u; k < part.length; k++) {
        running = extended(running, k, f32(x[at]));
        store(at, whole(running));
        at += part.step;
    }
}

// Contiguous rows: a workgroup for each part of up to THREADS · ITEMS elements.

const THREADS = 256u;
override ITEMS: u32 = 8u;
var<workgroup> elements: array<f32, 2048>;
var<workgroup> shares: array<f32, THREADS>;

// Loads a part, and returns the combination of all elements before those of a thread, which are neighbours.
fn load_part(part: Part, thread: u32) -> f32 {
    for (var e = thread; e < THREADS * ITEMS; e += THREADS) {
        var value = neutral();
        if e < part.length {
            value = f32(x[part.begin + e * part.step]);
        }
        elements[e] = value;
    }
    workgroupBarrier();
    var own = neutral();
    for (var e = thread * ITEMS; e < (thread + 1u) * ITEMS; e++) {
        own = combined(own, elements[e]);
    }
    shares[thread] = own;
    workgroupBarrier();
    for (var reach = 1u; reach < THREADS; reach *= 2u) {
        var other = neutral();
        if thread >= reach {
            other = shares[thread - reach];
        }
        workgroupBarrier();
        shares[thread] = combined(other, shares[thread]);
        workgroupBarrier();
    }
    if thread == 0u {
        return neutral();
    }
    return shares[thread - 1u];
}

@compute @workgroup_size(256)
fn find_totals_shared(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups);
    if number >= sizes.count {
        return;
    }
    load_part(part_of(number), thread);
    if thread == 0u {
        totals_found[number] = shares[THREADS - 1u];
    }
}

@compute @workgroup_size(256)
fn scan_shared(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups);
    if number >= sizes.count {
        return;
    }
    let part = part_of(number);
    var before = load_part(part, thread);
    if CONTINUED && part.number > 0u {
        before = combined(totals[number - 1u], before);
    }
    var own = neutral();
    for (var e = thread * ITEMS; e < (thread + 1u) * ITEMS; e++) {
        own = combined(own, elements[e]);
        elements[e] = combined(before, own);
    }
    workgroupBarrier();
    for (var e = thread; e < part.length; e += THREADS) {
        store(part.begin + e * part.step, elements[e]);
    }
}
