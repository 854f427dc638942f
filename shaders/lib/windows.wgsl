// Windows that slide over padded planes, or that share each plane out among a number of outputs.
//#import planes

struct Windows {
    // Planes, depth, height and width of the elements and of the windows.
    x: vec4<u32>,
    y: vec4<u32>,
    // Each along depth, rows and columns.
    window: vec3<u32>,
    stride: vec3<u32>,
    padding: vec3<u32>,
    dilation: vec3<u32>,
    // The most windows that one element (of a row: four neighbours) lies in.
    covering: vec3<u32>,
    // What sums are divided by, where that is given.
    divisor: f32,
}
@group(0) @binding(15) var<uniform> p: Windows;

// Whether window i of o begins at ⌊i·n/o⌋ and ends before ⌈(i+1)·n/o⌉.
override ADAPTIVE: bool = false;

// Where window i begins along an axis, counted from the first element of the padding.
fn window_begin(axis: u32, i: vec4<u32>) -> vec4<u32> {
    if ADAPTIVE {
        return i * p.x[axis + 1u] / p.y[axis + 1u];
    }
    return i * p.stride[axis];
}

// Where window i ends, if its elements are neighbours: at most at the padding's end.
fn window_end(axis: u32, i: vec4<u32>) -> vec4<u32> {
    let n = p.x[axis + 1u];
    if ADAPTIVE {
        let o = p.y[axis + 1u];
        return min(((i + 1u) * n + o - 1u) / o, vec4(n));
    }
    return min(i * p.stride[axis] + p.window[axis], vec4(n + 2u * p.padding[axis]));
}

// The first window that an element can lie in; `place` counts from the first element of the padding.
fn first_window(axis: u32, place: u32) -> u32 {
    if ADAPTIVE {
        return place * p.y[axis + 1u] / p.x[axis + 1u];
    }
    let reach = (p.window[axis] - 1u) * p.dilation[axis];
    return (max(place, reach) - reach + p.stride[axis] - 1u) / p.stride[axis];
}

// The end of the windows from `first` on that an element can lie in.
fn last_window(axis: u32, first: u32) -> u32 {
    return min(first + p.covering[axis], p.y[axis + 1u]);
}

// The lines of windows that a line of elements can lie in: one loop over them, whether in one plane or several.
struct Lines {
    depth: u32,
    row: u32,
    rows: u32,
    count: u32,
}

// Depth and row count from the first element of the padding.
fn find_lines(depth: u32, row: u32) -> Lines {
    let first_row = first_window(1u, row);
    let rows = last_window(1u, first_row) - first_row;
    if SOLID {
        let first_depth = first_window(0u, depth);
        return Lines(first_depth, first_row, rows, rows * (last_window(0u, first_depth) - first_depth));
    }
    return Lines(0u, first_row, rows, rows);
}

// The depth and row of the n-th of them.
fn line_place(lines: Lines, n: u32) -> vec2<u32> {
    let depth = select(0u, n / lines.rows, SOLID);
    return vec2(lines.depth + depth, lines.row + n - depth * lines.rows);
}

// The index of the first window in the n-th of them.
fn line_index(lines: Lines, n: u32, plane: u32) -> u32 {
    let place = line_place(lines, n);
    return row_index(plane, place.x, place.y, p.y);
}
