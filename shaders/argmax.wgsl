// y[o, i] = the first k at which x[o, k, i] is largest, or smallest; NaN stands before every number.
//#import index
//#import rows
//#import tree

struct Params {
    rows: u32,
    n: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, n, inner]
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // [outer, inner]
@group(0) @binding(15) var<uniform> p: Params;

// Whether the smallest element is looked for.
override SMALLEST: bool = false;

struct Best {
    value: f32,
    at: u32,
}

// No element yet.
const NONE = 0xffffffffu;

// Whether a stands before b: larger (or smaller), or equal and earlier.
fn is_before(a: Best, b: Best) -> bool {
    if a.at == NONE || b.at == NONE {
        return a.at != NONE;
    }
    let a_nan = tree_nan(vec4(a.value)).x;
    let b_nan = tree_nan(vec4(b.value)).x;
    if a_nan || b_nan {
        return a_nan && (!b_nan || a.at < b.at);
    }
    let is_better = select(a.value > b.value, (a.value < b.value), SMALLEST);
    return is_better || (a.value == b.value && a.at < b.at);
}

fn best_of(start: u32, first: u32, step: u32) -> Best {
    var best = Best(0.0, NONE);
    for (var k = first; k < p.n; k += step) {
        let i = start + k * p.inner;
        let candidate = Best(f32(x[i / 4u][i % 4u]), k);
        if is_before(candidate, best) {
            best = candidate;
        }
    }
    return best;
}

// A thread for each row.
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row < p.rows {
        y[row] = best_of(row_start(row), 0u, 1u).at;
    }
}

var<workgroup> bests: array<Best, 64>;

// LANES threads for each row.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (64u / LANES) + thread / LANES;
    let lane = thread % LANES;
    let first = select(p.n, lane, row < p.rows);
    bests[thread] = best_of(row_start(row), first, LANES);
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let other = bests[thread + half];
            if is_before(other, bests[thread]) {
                bests[thread] = other;
            }
        }
        workgroupBarrier();
    }
    if row < p.rows && lane == 0u {
        y[row] = bests[thread].at;
    }
}
