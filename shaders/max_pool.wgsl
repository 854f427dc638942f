// y[p, i] = max x[p, i·stride − padding + r·dilation] over the window r; index[p, i] is its place in the plane.
//#import chain
//#import index
//#import nan
//#import near
//#import turned
//#import windows

// [planes, depth, height, width]
@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
// y [planes, windows]; below also dx [planes, depth, height, width].
@group(0) @binding(2) var<storage, read_write> y: array<real>;
// [planes, windows]
@group(0) @binding(3) var<storage, read_write> index: array<vec4<u32>>;

const THREADS = 64u;
const NOWHERE = 0xffffffffu;
// The rows of a small window in a plane, so that drivers unroll its loops, as COLUMNS are; 0 where `p.window` says them.
override ROWS: u32 = 0u;

// The maximum is the first one in row-major order, or the last NaN, as in PyTorch. A window without any element
// gives −∞ and no place.
@compute @workgroup_size(THREADS)
fn max_pool(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, p.y);
    if four.plane >= p.y.x {
        return;
    }
    let plane = row_index(four.plane, 0u, 0u, p.x);
    let depth = window_begin(0u, vec4(four.depth)).x;
    let row = window_begin(1u, vec4(four.row)).x;
    let column = window_begin(2u, four.column);
    var count = vec3(p.window.x, select(p.window.y, ROWS, ROWS > 0u), select(p.window.z, COLUMNS, COLUMNS > 0u));
    var columns = vec4<u32>();
    if ADAPTIVE {
        columns = window_end(2u, four.column) - column;
        let rows = window_end(1u, vec4(four.row)).x - row;
        count = vec3(window_end(0u, vec4(four.depth)).x - depth, rows, count.z);
    }
    var best = vec4<f32>(-infinity());
    var best_is_nan = vec4<bool>();
    var place = vec4<u32>(NOWHERE);
    // One loop over the lines of a window, whether they lie in one plane or several.
    for (var line = 0u; line < select(count.y, count.x * count.y, SOLID); line++) {
        let d = select(0u, line / count.y, SOLID);
        let source_row = row + (line - d * count.y) * p.dilation.y - p.padding.y;
        var first = source_row * p.x.w;
        var line_inside = source_row < p.x.z;
        if SOLID {
            let source_depth = depth + d * p.dilation.x - p.padding.x;
            first += source_depth * p.x.z * p.x.w;
            line_inside &= source_depth < p.x.y;
        }
        var near = array<vec4<f32>, 4>();
        if STEP > 0u {
            near = line_near(plane + first + four.column.x * STEP);
        }
        for (var s = 0u; s < count.z; s++) {
            let source_column = column + s * p.dilation.z - p.padding.z;
            var inside = vec4(line_inside) & (source_column < vec4(p.x.w));
            if ADAPTIVE {
                inside &= vec4(s) < columns;
            }
            let here = first + source_column;
            let i = plane + here;
            var value = vec4<f32>();
            if STEP > 0u {
                value = column_of(near, s);
            } else {
                value = vec4(number(i.x), number(i.y), number(i.z), number(i.w));
            }
            let value_is_nan = vec4<bool>(is_nan(value.x), is_nan(value.y), is_nan(value.z), is_nan(value.w));
            let larger = (value > best) & !best_is_nan;
            let better = inside & (larger | value_is_nan | (place == vec4(NOWHERE)));
            best_is_nan |= better & value_is_nan;
            best = select(best, value, better);
            place = select(place, here, better);
        }
    }
    store_four(four, p.y, best);
    let to = row_index(four.plane, four.depth, four.row, p.y) + four.column;
    if WHOLE {
        index[to.x / 4u] = place;
        return;
    }
    let inside = four.column < vec4(p.y.w);
    if inside.x { index[to.x / 4u][to.x % 4u] = place.x; }
    if inside.y { index[to.y / 4u][to.y % 4u] = place.y; }
    if inside.z { index[to.z / 4u][to.z % 4u] = place.z; }
    if inside.w { index[to.w / 4u][to.w % 4u] = place.w; }
}

// [planes, windows]
@group(0) @binding(0) var<storage, read> dy: array<vec4<real>>;
@group(0) @binding(1) var<storage, read> chosen: array<vec4<u32>>;

// Whether at most four windows side by side cover four neighbours.
override CLOSE: bool = false;

// dx[p, h] = Σ dy[p, i] over the windows whose maximum is at h. Every element of dx looks at the windows it lies in,
// so no two threads add to one element and the order of the sum is fixed.
@compute @workgroup_size(THREADS)
fn max_pool_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, p.x);
    if four.plane >= p.x.x {
        return;
    }
    let place = row_index(0u, four.depth, four.row, p.x) + four.column;
    let lines = find_lines(four.depth + p.padding.x, four.row + p.padding.y);
    let column = first_window(2u, four.column.x + p.padding.z);
    let column_end = last_window(2u, column);
    var sum = vec4<f32>();
    for (var n = 0u; n < lines.count; n++) {
        let line = line_index(lines, n, four.plane);
        if CLOSE {
            let i = line + column;
            let v = i / 4u;
            let slope = turned(vec4<f32>(dy[v]), vec4<f32>(dy[v + 1u]), i % 4u);
            let there = column + vec4(0u, 1u, 2u, 3u) < vec4(column_end);
            let largest = select(vec4(NOWHERE), turned_words(chosen[v], chosen[v + 1u], i % 4u), there);
            sum += select(vec4<f32>(), slope.xxxx, place == largest.xxxx);
            sum += select(vec4<f32>(), slope.yyyy, place == largest.yyyy);
            sum += select(vec4<f32>(), slope.zzzz, place == largest.zzzz);
            sum += select(vec4<f32>(), slope.wwww, place == largest.wwww);
            continue;
        }
        for (var s = column; s < column_end; s++) {
            let i = line + s;
            sum += select(vec4<f32>(), vec4(f32(dy[i / 4u][i % 4u])), place == vec4(chosen[i / 4u][i % 4u]));
        }
    }
    store_four(four, p.x, sum);
}

// y[p, i] = x[p, index[p, i]]: the gradient of the gradient.
@compute @workgroup_size(THREADS)
fn max_pool_take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * THREADS + thread;
    let windows = p.y.y * p.y.z * p.y.w;
    if i >= p.y.x * windows {
        return;
    }
    let place = chosen[i / 4u][i % 4u];
    let plane = row_index(i / windows, 0u, 0u, p.x);
    store(i, select(number(plane + place), 0.0, place == NOWHERE));
}
