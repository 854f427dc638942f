// y[p, i, j] = max x[p, i·stride − padding + r·dilation, …] over the window (r, s); index[p, i, j] is its place in the plane.
//#import chain
//#import index
//#import nan

// [planes, height, width]
@group(0) @binding(0) var<storage, read> x: array<real>;
// y [planes, rows, columns]; below also dx [planes, height, width].
@group(0) @binding(2) var<storage, read_write> y: array<real>;
// [planes, rows, columns]
@group(0) @binding(3) var<storage, read_write> index: array<u32>;

struct Sizes {
    planes: u32,
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    window_rows: u32,
    window_columns: u32,
    stride_rows: u32,
    stride_columns: u32,
    padding_rows: u32,
    padding_columns: u32,
    dilation_rows: u32,
    dilation_columns: u32,
    // The most windows that one row, and that four neighbouring columns lie in.
    covering_rows: u32,
    covering_columns: u32,
}
@group(0) @binding(4) var<uniform> sizes: Sizes;

const THREADS = 64u;
const NOWHERE = 0xffffffffu;

// Four neighbours in a row of planes with so many rows and columns: what a thread computes.
struct Four {
    plane: u32,
    row: u32,
    column: vec4<u32>,
}

fn find_four(id: u32, rows: u32, columns: u32) -> Four {
    let spans = (columns + 3u) / 4u;
    let line = id / spans;
    let plane = line / rows;
    return Four(plane, line - plane * rows, (id - line * spans) * 4u + vec4(0u, 1u, 2u, 3u));
}

// The maximum is the first one in row-major order, or the last NaN, as in PyTorch. A window without any element
// gives −∞ and no place.
@compute @workgroup_size(THREADS)
fn max_pool2d(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, sizes.rows, sizes.columns);
    if four.plane >= sizes.planes {
        return;
    }
    let plane = four.plane * sizes.height * sizes.width;
    let row = four.row * sizes.stride_rows - sizes.padding_rows;
    let column = four.column * sizes.stride_columns - sizes.padding_columns;
    var best = vec4<f32>(-infinity());
    var best_is_nan = vec4<bool>();
    var place = vec4<u32>(NOWHERE);
    for (var r = 0u; r < sizes.window_rows; r++) {
        let source_row = row + r * sizes.dilation_rows;
        for (var s = 0u; s < sizes.window_columns; s++) {
            let source_column = column + s * sizes.dilation_columns;
            let inside = vec4(source_row < sizes.height) & (source_column < vec4(sizes.width));
            let here = source_row * sizes.width + source_column;
            let i = plane + here;
            let value = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
            let value_is_nan = vec4<bool>(is_nan(value.x), is_nan(value.y), is_nan(value.z), is_nan(value.w));
            let larger = (value > best) & !best_is_nan;
            let better = inside & (larger | value_is_nan | (place == vec4(NOWHERE)));
            best_is_nan |= better & value_is_nan;
            best = select(best, value, better);
            place = select(place, here, better);
        }
    }
    let to = (four.plane * sizes.rows + four.row) * sizes.columns + four.column;
    let inside = four.column < vec4(sizes.columns);
    if inside.x { store_maximum(to.x, best.x, place.x); }
    if inside.y { store_maximum(to.y, best.y, place.y); }
    if inside.z { store_maximum(to.z, best.z, place.z); }
    if inside.w { store_maximum(to.w, best.w, place.w); }
}

fn store_maximum(i: u32, best: f32, place: u32) {
    store(i, best);
    index[i] = place;
}

// [planes, rows, columns]
@group(0) @binding(0) var<storage, read> dy: array<real>;
@group(0) @binding(1) var<storage, read> chosen: array<u32>;

// dx[p, h, w] = Σ dy[p, i, j] over the windows whose maximum is at (h, w). Every element of dx looks at the windows
// it lies in, so no two threads add to one element and the order of the sum is fixed.
@compute @workgroup_size(THREADS)
fn max_pool2d_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, sizes.height, sizes.width);
    if four.plane >= sizes.planes {
        return;
    }
    let place = four.row * sizes.width + four.column;
    let row = first_window(four.row + sizes.padding_rows, sizes.window_rows, sizes.dilation_rows, sizes.stride_rows);
    let column =
        first_window(four.column.x + sizes.padding_columns, sizes.window_columns, sizes.dilation_columns, sizes.stride_columns);
    var sum = vec4<f32>();
    for (var r = row; r < min(row + sizes.covering_rows, sizes.rows); r++) {
        let line = (four.plane * sizes.rows + r) * sizes.columns;
        for (var s = column; s < min(column + sizes.covering_columns, sizes.columns); s++) {
            sum += select(vec4<f32>(), vec4(f32(dy[line + s])), place == vec4(chosen[line + s]));
        }
    }
    let to = four.plane * sizes.height * sizes.width + place;
    let inside = four.column < vec4(sizes.width);
    if inside.x { store(to.x, sum.x); }
    if inside.y { store(to.y, sum.y); }
    if inside.z { store(to.z, sum.z); }
    if inside.w { store(to.w, sum.w); }
}

// The first window that an element of the padded plane can lie in.
fn first_window(place: u32, window: u32, dilation: u32, stride: u32) -> u32 {
    let reach = (window - 1u) * dilation;
    return (max(place, reach) - reach + stride - 1u) / stride;
}

// y[p, i, j] = x[p, index[p, i, j]]: the gradient of the gradient.
@compute @workgroup_size(THREADS)
fn max_pool2d_take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * THREADS + thread;
    if i >= sizes.planes * sizes.rows * sizes.columns {
        return;
    }
    let place = chosen[i];
    let plane = i / (sizes.rows * sizes.columns) * sizes.height * sizes.width;
    store(i, select(f32(x[plane + place]), 0.0, place == NOWHERE));
}
