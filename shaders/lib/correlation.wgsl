// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] over inputs c and taps t, for each group of channels.
//
// This one sum is every pass of a convolution. For y itself the taps are the window. For dx the input is dy, which the
// window crosses backwards; where y has a stride, the elements of dx that meet the same taps form a phase, and each
// phase is a sum of its own. For dw the window is dy, the images take the place of the inputs, and the channels that
// of the batch.
struct Correlation {
    batch: u32,
    groups: u32,
    outputs: u32,
    inputs: u32,
    // The elements of one plane of y that are computed, and the taps that reach them.
    rows: u32,
    columns: u32,
    taps: u32,
    tap_columns: u32,
    // One plane of x.
    height: u32,
    width: u32,
    // Source row = row·stride_row + start_row + tap row·step_row; negative numbers are two's complement.
    stride_row: u32,
    stride_column: u32,
    start_row: u32,
    start_column: u32,
    step_row: u32,
    step_column: u32,
    // Elements between neighbours.
    x_batch: u32,
    x_group: u32,
    x_input: u32,
    w_group: u32,
    w_output: u32,
    w_input: u32,
    // A tap's place in its window of w_taps elements: w_first + tap row·w_row + tap column·w_column.
    w_taps: u32,
    w_first: u32,
    w_row: u32,
    w_column: u32,
    y_first: u32,
    y_batch: u32,
    y_group: u32,
    y_output: u32,
    y_row: u32,
    y_column: u32,
    // The sum in parts: taps and inputs of one part, parts side by side, elements of y.
    tap_parts: u32,
    part_taps: u32,
    part_inputs: u32,
    parts: u32,
    elements: u32,
}
@group(0) @binding(3) var<uniform> sizes: Correlation;

// The taps and inputs of one part of the sum.
struct Part {
    tap: u32,
    tap_end: u32,
    input: u32,
    inputs: u32,
}

fn part_range(part: u32) -> Part {
    let tap = min(part % sizes.tap_parts * sizes.part_taps, sizes.taps);
    let input = min(part / sizes.tap_parts * sizes.part_inputs, sizes.inputs);
    let inputs = min(sizes.part_inputs, sizes.inputs - input);
    return Part(tap, min(tap + sizes.part_taps, sizes.taps), input, inputs);
}

// Four pixels: their place in the batch and in the plane of y. Pixels past the end repeat the last one.
struct Pixels {
    batch: vec4<u32>,
    row: vec4<u32>,
    column: vec4<u32>,
}

fn find_pixels(number: vec4<u32>) -> Pixels {
    let plane = sizes.rows * sizes.columns;
    let last = min(number, vec4(sizes.batch * plane - 1u));
    let inner = last % plane;
    return Pixels(last / plane, inner / sizes.columns, inner % sizes.columns);
}

fn output_index(pixels: Pixels, group: u32, output: u32) -> vec4<u32> {
    let place = pixels.batch * sizes.y_batch + pixels.row * sizes.y_row + pixels.column * sizes.y_column;
    return place + sizes.y_first + group * sizes.y_group + output * sizes.y_output;
}
