// y[p, i, j] = max x[p, i·stride − padding + r·dilation, …] over the window (r, s); index[p, i, j] is where it is in the plane.
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
    // The most windows that one element lies in, down and across.
    covering_rows: u32,
    covering_columns: u32,
}
@group(0) @binding(4) var<uniform> sizes: Sizes;

const THREADS = 64u;
const NOWHERE = 0xffffffffu;

// The maximum is the first one in row-major order, or the last NaN, as in PyTorch. A window without any element
// gives −∞ and no place.
@compute @workgroup_size(THREADS)
fn max_pool2d(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let count = sizes.planes * sizes.rows * sizes.columns;
    let first = (workgroup_index(group, groups) * THREADS + thread) * 4u;
    if first >= count {
        return;
    }
    let number = min(first + vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    let plane = number / (sizes.rows * sizes.columns) * sizes.height * sizes.width;
    let row = number / sizes.columns % sizes.rows * sizes.stride_rows - sizes.padding_rows;
    let column = number % sizes.columns * sizes.stride_columns - sizes.padding_columns;
    // WGSL has no literal for infinity, but its bits in a variable are it.
    var lowest = 0xff800000u;
    var best = vec4<f32>(bitcast<f32>(lowest));
    var best_is_nan = vec4<bool>();
    var place = vec4<u32>(NOWHERE);
    for (var r = 0u; r < sizes.window_rows; r++) {
        let source_row = row + r * sizes.dilation_rows;
        let row_inside = source_row < vec4(sizes.height);
        for (var s = 0u; s < sizes.window_columns; s++) {
            let source_column = column + s * sizes.dilation_columns;
            let inside = row_inside & (source_column < vec4(sizes.width));
            let here = source_row * sizes.width + source_column;
            let i = select(vec4(0u), plane + here, inside);
            let value = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
            let value_is_nan = vec4<bool>(is_nan(value.x), is_nan(value.y), is_nan(value.z), is_nan(value.w));
            let larger = (value > best) & !best_is_nan;
            let better = inside & (larger | value_is_nan | (place == vec4(NOWHERE)));
            best_is_nan |= better & value_is_nan;
            best = select(best, value, better);
            place = select(place, here, better);
        }
    }
    store_maximum(first, best.x, place.x);
    if first + 1u < count { store_maximum(first + 1u, best.y, place.y); }
    if first + 2u < count { store_maximum(first + 2u, best.z, place.z); }
    if first + 3u < count { store_maximum(first + 3u, best.w, place.w); }
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
    let count = sizes.planes * sizes.height * sizes.width;
    let first = (workgroup_index(group, groups) * THREADS + thread) * 4u;
    if first >= count {
        return;
    }
    let number = min(first + vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    let inner = number % (sizes.height * sizes.width);
    let plane = number / (sizes.height * sizes.width) * sizes.rows * sizes.columns;
    let row = first_window(inner / sizes.width + sizes.padding_rows, sizes.window_rows, sizes.dilation_rows, sizes.stride_rows);
    let column =
        first_window(inner % sizes.width + sizes.padding_columns, sizes.window_columns, sizes.dilation_columns, sizes.stride_columns);
    var sum = vec4<f32>();
    for (var r = 0u; r < sizes.covering_rows; r++) {
        for (var s = 0u; s < sizes.covering_columns; s++) {
            let inside = (row + r < vec4(sizes.rows)) & (column + s < vec4(sizes.columns));
            let i = select(vec4(0u), plane + (row + r) * sizes.columns + column + s, inside);
            let place = vec4<u32>(chosen[i.x], chosen[i.y], chosen[i.z], chosen[i.w]);
            let value = vec4<f32>(f32(dy[i.x]), f32(dy[i.y]), f32(dy[i.z]), f32(dy[i.w]));
            sum += select(vec4<f32>(), value, inside & (place == inner));
        }
    }
    store(first, sum.x);
    if first + 1u < count { store(first + 1u, sum.y); }
    if first + 2u < count { store(first + 2u, sum.z); }
    if first + 3u < count { store(first + 3u, sum.w); }
}

// The first window that an element of the padded plane can lie in.
fn first_window(place: vec4<u32>, window: u32, dilation: u32, stride: u32) -> vec4<u32> {
    let reach = vec4((window - 1u) * dilation);
    return (max(place, reach) - reach + stride - 1u) / stride;
}

// y[p, i, j] = x[p, index[p, i, j]]: the gradient of the gradient.
@compute @workgroup_size(THREADS)
fn max_pool2d_take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let count = sizes.planes * sizes.rows * sizes.columns;
    let i = workgroup_index(group, groups) * THREADS + thread;
    if i >= count {
        return;
    }
    let place = chosen[i];
    let plane = i / (sizes.rows * sizes.columns) * sizes.height * sizes.width;
    store(i, select(f32(x[plane + select(place, 0u, place == NOWHERE)]), 0.0, place == NOWHERE));
}
