// y[b, k, m] = bias[k] + Σ x[b, c, m·stride + start + t·step] · w[k, c, t] over inputs c and taps t, for each group.
//
// This one sum is every pass of a convolution. For y itself the taps are the window. For dx the input is dy, which the
// window crosses backwards; where y has a stride, the elements of dx that meet the same taps form a phase, and each
// phase is a sum of its own. For dw the window is dy, and images and channels change places.
struct Correlation {
    // The sum is three nested loops: over inputs, tap rows and tap columns, in an order the host chooses. A step of a
    // loop adds these to the source's row and column, to the place in x and to the place in w.
    outer: vec4<u32>,
    middle: vec4<u32>,
    inner: vec4<u32>,
    outer_count: u32,
    middle_count: u32,
    inner_count: u32,
    // The sum may be cut into parts, each of so many steps of the outer two loops together and of the inner one.
    outer_part: u32,
    inner_part: u32,
    outer_parts: u32,
    parts: u32,
    batch: u32,
    groups: u32,
    outputs: u32,
    // The elements of one plane of y that are computed.
    rows: u32,
    columns: u32,
    // One plane of x.
    height: u32,
    width: u32,
    // Where the first tap of an element lies: row·stride_row + start_row. Negative numbers are two's complement.
    stride_row: u32,
    stride_column: u32,
    start_row: u32,
    start_column: u32,
    // Elements between neighbours.
    x_batch: u32,
    x_group: u32,
    w_group: u32,
    w_output: u32,
    w_first: u32,
    y_first: u32,
    y_batch: u32,
    y_group: u32,
    y_output: u32,
    y_row: u32,
    y_column: u32,
    // All of y.
    elements: u32,
    // 1 where there is a bias.
    bias: u32,
}
@group(0) @binding(4) var<uniform> sizes: Correlation;

// A part's steps of the outer two loops, counted as one, and of the inner loop.
struct Part {
    first: u32,
    end: u32,
    inner: u32,
    inner_end: u32,
}

fn find_part(part: u32) -> Part {
    let steps = sizes.outer_count * sizes.middle_count;
    let first = min(part % sizes.outer_parts * sizes.outer_part, steps);
    let inner = min(part / sizes.outer_parts * sizes.inner_part, sizes.inner_count);
    return Part(first, min(first + sizes.outer_part, steps), inner, min(inner + sizes.inner_part, sizes.inner_count));
}

// Four pixels: their place in the batch, in the plane of y, and the source of their first tap.
// Numbers past the end repeat the last pixel.
struct Pixels {
    batch: vec4<u32>,
    row: vec4<u32>,
    column: vec4<u32>,
    source_row: vec4<u32>,
    source_column: vec4<u32>,
}

fn pixel_count() -> u32 {
    return sizes.batch * sizes.rows * sizes.columns;
}

fn find_pixels(number: vec4<u32>) -> Pixels {
    let near = min(number, vec4(pixel_count() - 1u));
    let line = near / sizes.columns;
    let column = near - line * sizes.columns;
    let batch = line / sizes.rows;
    let row = line - batch * sizes.rows;
    let source_row = row * sizes.stride_row + sizes.start_row;
    return Pixels(batch, row, column, source_row, column * sizes.stride_column + sizes.start_column);
}

fn source_index(pixels: Pixels, group: u32) -> vec4<u32> {
    let plane = pixels.batch * sizes.x_batch + group * sizes.x_group;
    return plane + pixels.source_row * sizes.width + pixels.source_column;
}

fn output_index(pixels: Pixels, group: u32, output: u32) -> vec4<u32> {
    let plane = pixels.batch * sizes.y_batch + group * sizes.y_group + output * sizes.y_output;
    return plane + sizes.y_first + pixels.row * sizes.y_row + pixels.column * sizes.y_column;
}
