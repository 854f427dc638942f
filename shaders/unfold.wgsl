// y[p, (r, s), (i, j)] = x[p, i·stride − padding + r·dilation, j·stride − padding + s·dilation], 0 outside.
//#import chain
//#import index
//#import windows

// [planes, height, width]
@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
// y [planes, taps, rows, columns], the taps (r, s) in row-major order; below [planes, height, width].
@group(0) @binding(1) var<storage, read_write> y: array<real>;

const THREADS = 64u;

// Whether windows side by side are neighbours.
override STEP_BY_STEP: bool = false;

@compute @workgroup_size(THREADS)
fn unfold(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    var four = find_four(workgroup_index(group, groups) * THREADS + thread, p.y);
    if four.plane >= p.y.x {
        return;
    }
    for (var n = 0u; n < FOURS && four.column.x < p.y.w; n++) {
        unfold_four(four);
        four.column += 4u;
    }
}

fn unfold_four(four: Four) {
    let r = four.depth / p.window.z;
    let s = four.depth - r * p.window.z;
    let row = four.row * p.stride.y + r * p.dilation.y - p.padding.y;
    let column = four.column * p.stride.z + s * p.dilation.z - p.padding.z;
    let i = row_index(four.plane, 0u, row, p.x) + column;
    let inside = vec4(row < p.x.z) & (column < vec4(p.x.w));
    var value = vec4<f32>();
    if STEP_BY_STEP {
        value = numbers(i.x);
    } else {
        value = vec4(number(i.x), number(i.y), number(i.z), number(i.w));
    }
    store_four(four, p.y, select(vec4<f32>(), value, inside));
}

// Whether the elements of a window are apart.
override DILATED: bool = false;

// Which element of a window lies so far from its first; one past the last where there is none.
fn tap(axis: u32, distance: vec4<u32>) -> vec4<u32> {
    if DILATED {
        let i = distance / p.dilation[axis];
        return select(vec4(p.window[axis]), i, i * p.dilation[axis] == distance);
    }
    return distance;
}

// y[p, h, w] = Σ x[p, (r, s), (i, j)] over the windows (i, j) whose element (r, s) is (h, w), always in the same order.
@compute @workgroup_size(THREADS)
fn fold(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, p.x);
    if four.plane >= p.x.x {
        return;
    }
    let row = four.row + p.padding.y;
    let column = four.column + p.padding.z;
    let first = vec2(first_window(1u, row), first_window(2u, column.x));
    var sum = vec4<f32>();
    for (var i = first.x; i < last_window(1u, first.x); i++) {
        let r = tap(1u, vec4(row - i * p.stride.y)).x;
        if r >= p.window.y {
            continue;
        }
        for (var j = first.y; j < last_window(2u, first.y); j++) {
            let s = tap(2u, column - j * p.stride.z);
            let at = row_index(four.plane, r * p.window.z, i, p.y) + s * p.y.z * p.y.w + j;
            let value = vec4(number(at.x), number(at.y), number(at.z), number(at.w));
            sum += select(vec4<f32>(), value, s < vec4(p.window.z));
        }
    }
    store_four(four, p.x, sum);
}
