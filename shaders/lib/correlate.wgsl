// The sum of `correlation` for 32 outputs × 4 pixels held by one thread, without workgroup memory.
// The importing file defines how a thread gets the weights of all outputs for one input and tap.
//#import correlation
@group(0) @binding(0) var<storage, read> x: array<real>;
// Packed by `conv/pack`: [groups, blocks, taps, inputs, OUTPUTS / 4].
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
// The result, [N, K, rows, columns] in its own strides.
@group(0) @binding(2) var<storage, read_write> y: array<real>;
// Or parts of the sum, [parts, elements of y].
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

// Outputs per thread: 8, 16 or 32.
override OUTPUTS: u32 = 32;
const THREADS = 16u;

// What a thread computes: sums of 4 outputs × 4 pixels each, and where they belong.
struct Block {
    // Where output 0 of the block belongs, for each pixel, in y or in its part.
    index: vec4<u32>,
    part: u32,
    outputs: u32,
    pixels: u32,
    sums: array<mat4x4<f32>, 8>,
}

fn outer_product(pixels: vec4<f32>, outputs: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(pixels * outputs.x, pixels * outputs.y, pixels * outputs.z, pixels * outputs.w);
}

// The block of a thread of workgroup `id`: workgroups count pixels first, then blocks of outputs, then parts.
fn correlate(id: u32, thread: u32) -> Block {
    let count = sizes.batch * sizes.rows * sizes.columns;
    let spans = (count + THREADS * 4u - 1u) / (THREADS * 4u);
    let blocks = (sizes.outputs + OUTPUTS - 1u) / OUTPUTS;
    let span = id % spans;
    let block = id / spans % (blocks * sizes.groups);
    let part = id / spans / (blocks * sizes.groups);
    let group = block / blocks;
    let output = block % blocks * OUTPUTS;
    let first = (span * THREADS + thread) * 4u;
    let pixels = find_pixels(first + vec4(0u, 1u, 2u, 3u));

    let range = part_range(part);
    let base = pixels.batch * sizes.x_batch + group * sizes.x_group + range.input * sizes.x_input;
    let row = pixels.row * sizes.stride_row + sizes.start_row;
    let column = pixels.column * sizes.stride_column + sizes.start_column;
    var tap_row = range.tap / sizes.tap_columns;
    var tap_column = range.tap % sizes.tap_columns;
    var s0 = mat4x4<f32>();
    var s1 = mat4x4<f32>();
    var s2 = mat4x4<f32>();
    var s3 = mat4x4<f32>();
    var s4 = mat4x4<f32>();
    var s5 = mat4x4<f32>();
    var s6 = mat4x4<f32>();
    var s7 = mat4x4<f32>();
    for (var tap = range.tap; tap < range.tap_end; tap++) {
        let source_row = row + tap_row * sizes.step_row;
        let source_column = column + tap_column * sizes.step_column;
        let inside = (source_row < vec4(sizes.height)) & (source_column < vec4(sizes.width));
        var i = select(vec4(0u), base + source_row * sizes.width + source_column, inside);
        let place = sizes.w_first + tap_row * sizes.w_row + tap_column * sizes.w_column;
        var at = ((block * sizes.w_taps + place) * sizes.inputs + range.input) * (OUTPUTS / 4u);
        for (var input = 0u; input < range.inputs; input++) {
            let loaded = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
            let a = select(vec4<f32>(), loaded, inside);
            let b = packed_weights(at);
            s0 += outer_product(a, b[0]);
            s1 += outer_product(a, b[1]);
            if OUTPUTS > 8u {
                s2 += outer_product(a, b[2]);
                s3 += outer_product(a, b[3]);
            }
            if OUTPUTS > 16u {
                s4 += outer_product(a, b[4]);
                s5 += outer_product(a, b[5]);
                s6 += outer_product(a, b[6]);
                s7 += outer_product(a, b[7]);
            }
            i += sizes.x_input;
            at += OUTPUTS / 4u;
        }
        tap_column++;
        if tap_column == sizes.tap_columns {
            tap_column = 0u;
            tap_row++;
        }
    }
    return Block(
        output_index(pixels, group, output),
        part,
        select(0u, min(OUTPUTS, sizes.outputs - output), part < sizes.parts && first < count),
        min(4u, count - first),
        array<mat4x4<f32>, 8>(s0, s1, s2, s3, s4, s5, s6, s7),
    );
}

// Four outputs are stored, then the sums move up: drivers that unroll a loop over the sums would copy a fused epilogue
// 128 times, and those that do not would keep the sums in memory.
fn store_block(block: Block) {
    var s = block.sums;
    var i = block.index;
    for (var output = 0u; output < block.outputs; output += 4u) {
        store_pixels(i, s[0][0], block.pixels);
        if output + 1u < block.outputs { store_pixels(i + sizes.y_output, s[0][1], block.pixels); }
        if output + 2u < block.outputs { store_pixels(i + 2u * sizes.y_output, s[0][2], block.pixels); }
        if output + 3u < block.outputs { store_pixels(i + 3u * sizes.y_output, s[0][3], block.pixels); }
        s = array<mat4x4<f32>, 8>(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[7]);
        i += 4u * sizes.y_output;
    }
}

fn store_pixels(i: vec4<u32>, values: vec4<f32>, pixels: u32) {
    store(i.x, values.x);
    if pixels > 1u { store(i.y, values.y); }
    if pixels > 2u { store(i.z, values.z); }
    if pixels > 3u { store(i.w, values.w); }
}

fn store_partial_block(block: Block) {
    var s = block.sums;
    var i = block.index + block.part * sizes.elements;
    for (var output = 0u; output < block.outputs; output += 4u) {
        store_partial(i, s[0][0], block.pixels);
        if output + 1u < block.outputs { store_partial(i + sizes.y_output, s[0][1], block.pixels); }
        if output + 2u < block.outputs { store_partial(i + 2u * sizes.y_output, s[0][2], block.pixels); }
        if output + 3u < block.outputs { store_partial(i + 3u * sizes.y_output, s[0][3], block.pixels); }
        s = array<mat4x4<f32>, 8>(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[7]);
        i += 4u * sizes.y_output;
    }
}

fn store_partial(i: vec4<u32>, values: vec4<f32>, pixels: u32) {
    partial[i.x] = values.x;
    if pixels > 1u { partial[i.y] = values.y; }
    if pixels > 2u { partial[i.z] = values.z; }
    if pixels > 3u { partial[i.w] = values.w; }
}
