// y[p, i] = Σ x[p, h] / divisor(i) over the h in window i.
//#import chain
//#import index
//#import near
//#import windows

// [planes, depth, height, width]
@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
// y [planes, windows]; below dx [planes, depth, height, width].
@group(0) @binding(1) var<storage, read_write> y: array<real>;

const THREADS = 64u;

// Whether elements of the padding count.
override COUNT_PADDING: bool = false;
// Whether sums are divided by a given number.
override GIVEN: bool = false;
// Whether four neighbouring windows are read as one range: where they overlap or touch.
override TOGETHER: bool = true;

// The elements of window i along an axis, padding or not; NaN and infinities of others must not be touched.
fn begin_inside(axis: u32, i: vec4<u32>) -> vec4<u32> {
    return max(window_begin(axis, i), vec4(p.padding[axis]));
}

fn end_inside(axis: u32, i: vec4<u32>) -> vec4<u32> {
    return min(window_end(axis, i), vec4(p.padding[axis] + p.x[axis + 1u]));
}

// How many elements of window i count along an axis.
fn extent(axis: u32, i: vec4<u32>) -> vec4<f32> {
    if COUNT_PADDING {
        return vec4<f32>(window_end(axis, i) - window_begin(axis, i));
    }
    return vec4<f32>(end_inside(axis, i) - begin_inside(axis, i));
}

fn divisor(depth: u32, row: u32, column: vec4<u32>) -> vec4<f32> {
    if GIVEN {
        return vec4(p.divisor);
    }
    let plane = extent(1u, vec4(row)) * extent(2u, column);
    if SOLID {
        return extent(0u, vec4(depth)) * plane;
    }
    return plane;
}

// The value for the windows that hold a column, else 0.
fn inside(value: f32, column: u32, begin: vec4<u32>, end: vec4<u32>) -> vec4<f32> {
    return select(vec4<f32>(), vec4(value), (vec4(column) >= begin) & (vec4(column) < end));
}

@compute @workgroup_size(THREADS)
fn avg_pool(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, p.y);
    if four.plane >= p.y.x {
        return;
    }
    let row_begin = begin_inside(1u, vec4(four.row)).x;
    let rows = end_inside(1u, vec4(four.row)).x - row_begin;
    var depth_begin = p.padding.x;
    var lines = rows;
    if SOLID {
        depth_begin = begin_inside(0u, vec4(four.depth)).x;
        lines = rows * (end_inside(0u, vec4(four.depth)).x - depth_begin);
    }
    let begin = begin_inside(2u, four.column);
    let end = end_inside(2u, four.column);
    var sum = vec4<f32>();
    // One loop over the lines of a window, whether they lie in one plane or several.
    for (var n = 0u; n < lines; n++) {
        let d = select(0u, n / rows, SOLID);
        let depth = depth_begin + d - p.padding.x;
        let row = row_begin + n - d * rows - p.padding.y;
        let first = row_index(four.plane, depth, row, p.x);
        // Columns count from the padding's first element.
        let line = first - p.padding.z;
        if STEP > 0u {
            let near = line_near(first + four.column.x * STEP);
            for (var s = 0u; s < COLUMNS; s++) {
                let column = window_begin(2u, four.column) + s;
                sum += select(vec4<f32>(), column_of(near, s), (column >= begin) & (column < end));
            }
            continue;
        }
        if TOGETHER {
            for (var column = begin.x; column < end.w; column += 4u) {
                let value = numbers(line + column);
                sum += inside(value.x, column, begin, end);
                sum += inside(value.y, column + 1u, begin, end);
                sum += inside(value.z, column + 2u, begin, end);
                sum += inside(value.w, column + 3u, begin, end);
            }
            continue;
        }
        for (var s = 0u; s < p.window.z; s++) {
            let column = begin + s;
            let i = line + column;
            let value = vec4(number(i.x), number(i.y), number(i.z), number(i.w));
            sum += select(vec4<f32>(), value, column < end);
        }
    }
    store_four(four, p.y, sum / divisor(four.depth, four.row, four.column));
}

// dx[p, h] = Σ dy[p, i] / divisor(i) over the windows i that h lies in, always in the same order.
@compute @workgroup_size(THREADS)
fn avg_pool_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, p.x);
    if four.plane >= p.x.x {
        return;
    }
    let depth = four.depth + p.padding.x;
    let row = four.row + p.padding.y;
    let column = four.column + p.padding.z;
    let lines = find_lines(depth, row);
    let first = first_window(2u, column.x);
    let last = last_window(2u, first);
    var sum = vec4<f32>();
    for (var n = 0u; n < lines.count; n++) {
        let place = line_place(lines, n);
        if !lies_in(1u, place.y, vec4(row)).x || (SOLID && !lies_in(0u, place.x, vec4(depth)).x) {
            continue;
        }
        let line = line_index(lines, n, four.plane);
        for (var s = first; s < last; s++) {
            let share = number(line + s) / divisor(place.x, place.y, vec4(s)).x;
            sum += select(vec4<f32>(), vec4(share), lies_in(2u, s, column));
        }
    }
    store_four(four, p.x, sum);
}

// Which of these elements, counted from the padding's first, lie in window i.
fn lies_in(axis: u32, i: u32, place: vec4<u32>) -> vec4<bool> {
    return (place >= window_begin(axis, vec4(i))) & (place < window_end(axis, vec4(i)));
}
