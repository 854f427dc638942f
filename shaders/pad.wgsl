// y[p, j] = x[p, source(j − before)]: what lies outside is a value, a mirror image, the edge or the other end.
//#import chain
//#import index
//#import planes

struct Sizes {
    // Planes, depth, height and width.
    x: vec4<u32>,
    y: vec4<u32>,
    // Elements added along depth, rows and columns; negative ones are taken away.
    before: vec3<i32>,
    value: f32,
}

// [planes, depth, height, width]
@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
// y [planes, depth, height, width]; below dx [outer, length, inner].
@group(0) @binding(1) var<storage, read_write> y: array<real>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

const THREADS = 64u;

override MODE: u32 = 0u;
const CONSTANT = 0u;
const REFLECT = 1u;
const REPLICATE = 2u;
const CIRCULAR = 3u;

// The elements that j are copies of, along an axis; for constants also others, outside.
fn source(axis: u32, j: vec4<u32>) -> vec4<u32> {
    let n = vec4(i32(sizes.x[axis + 1u]));
    var i = vec4<i32>(j) - sizes.before[axis];
    if MODE == REFLECT {
        i = abs(i);
        i = select(i, 2 * (n - 1) - i, i >= n);
    } else if MODE == REPLICATE {
        i = clamp(i, vec4(0), n - 1);
    } else if MODE == CIRCULAR {
        i = select(i, i + n, i < vec4(0));
        i = select(i, i - n, i >= n);
    }
    return vec4<u32>(i);
}

@compute @workgroup_size(THREADS)
fn pad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    var four = find_four(workgroup_index(group, groups) * THREADS + thread, sizes.y);
    if four.plane >= sizes.y.x {
        return;
    }
    for (var n = 0u; n < FOURS && four.column.x < sizes.y.w; n++) {
        pad_four(four);
        four.column += 4u;
    }
}

fn pad_four(four: Four) {
    let depth = source(0u, vec4(four.depth)).x;
    let row = source(1u, vec4(four.row)).x;
    let column = source(2u, four.column);
    let i = row_index(four.plane, depth, row, sizes.x) + column;
    if MODE == CONSTANT {
        // Neighbours in y are neighbours in x.
        let inside = vec4(depth < sizes.x.y && row < sizes.x.z) & (column < vec4(sizes.x.w));
        store_four(four, sizes.y, select(vec4(sizes.value), numbers(i.x), inside));
    } else {
        store_four(four, sizes.y, vec4(number(i.x), number(i.y), number(i.z), number(i.w)));
    }
}

struct Rows {
    outer: u32,
    // Elements of a row of x and of y, and of what lies behind each of them.
    length: u32,
    padded: u32,
    inner: u32,
    before: i32,
}
@group(0) @binding(3) var<uniform> rows: Rows;

// dx[o, i, k] = Σ dy[o, j, k] over the copies j of i along one dimension: the one in the middle, those before and
// those behind it.
@compute @workgroup_size(THREADS)
fn pad_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let to = workgroup_index(group, groups) * THREADS + thread;
    let line = to / rows.inner;
    let outer = line / rows.length;
    if outer >= rows.outer {
        return;
    }
    let n = i32(rows.length);
    let i = i32(line - outer * rows.length);
    let first = outer * rows.padded * rows.inner + to % rows.inner;

    let middle = u32(i + rows.before);
    var sum = select(0.0, number(first + middle * rows.inner), middle < rows.padded);
    // From `begin` up to `end`.
    var begin = vec2(0);
    var end = vec2(0);
    let behind = max(rows.before + n, 0);
    if MODE == REFLECT {
        begin = vec2(rows.before - i, rows.before + 2 * (n - 1) - i);
        end = begin + select(vec2(0), vec2(1), vec2(i > 0 && begin.x >= 0, i < n - 1 && begin.y >= 0));
    } else if MODE == CIRCULAR {
        begin = vec2(i + rows.before - n, i + rows.before + n);
        end = begin + select(vec2(0), vec2(1), begin >= vec2(0));
    } else if MODE == REPLICATE {
        begin = vec2(0, behind);
        end = vec2(select(0, rows.before, i == 0), select(behind, i32(rows.padded), i == n - 1));
    }
    for (var j = begin.x; j < end.x; j++) {
        sum += number(first + u32(j) * rows.inner);
    }
    for (var j = begin.y; j < min(end.y, i32(rows.padded)); j++) {
        sum += number(first + u32(j) * rows.inner);
    }
    store(to, sum);
}
