// The sum of `correlation` for 32 outputs × 4 pixels held by one thread, without workgroup memory.
// The importing file defines how a thread gets the weights of all outputs for one input and tap.
//#import correlation
@group(0) @binding(0) var<storage, read> x: array<real>;
// Packed by `conv/pack`: [groups, blocks, taps · inputs + 1, OUTPUTS / 4], the last row the bias.
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
// The result, [N, K, rows, columns] in its own strides.
@group(0) @binding(2) var<storage, read_write> y: array<real>;
// Or parts of the sum, [parts, elements of y].
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

// Outputs per thread: 8, 16 or 32.
override OUTPUTS: u32 = 32;
// What the source of a pixel with the next tap is: 1: that of the next pixel, 2: that of the last pixel, 0: neither.
// Where it is one of these the four pixels lie in one row, and the innermost loop is over its taps.
override SLIDE: u32 = 0;
// Whether the four pixels of a thread are always a whole vector of y.
override VECTORS: bool = false;
const THREADS = 8u;

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

// The block of a thread of workgroup `id`.
fn correlate(id: u32, thread: u32) -> Block {
    let work = find_work(id, OUTPUTS, THREADS * 4u);
    let phase = work.phase;
    let output = work.block * OUTPUTS;
    let first = (work.span * THREADS + thread) * 4u;
    let pixels = find_pixels(first + vec4(0u, 1u, 2u, 3u), phase);

    // The last row of a block's weights is its bias, which the first part adds.
    let weights = (work.group * sizes.w_group + work.block * sizes.w_output) * (OUTPUTS / 4u);
    let bias = packed_weights(weights + (sizes.w_output - 1u) * (OUTPUTS / 4u));
    let ones = vec4<f32>(select(0.0, 1.0, work.part == 0u));
    var s0 = outer_product(ones, bias[0]);
    var s1 = outer_product(ones, bias[1]);
    var s2 = outer_product(ones, bias[2]);
    var s3 = outer_product(ones, bias[3]);
    var s4 = outer_product(ones, bias[4]);
    var s5 = outer_product(ones, bias[5]);
    var s6 = outer_product(ones, bias[6]);
    var s7 = outer_product(ones, bias[7]);

    let counts = loop_counts(phase);
    let range = find_part(work.part, counts);
    let source = source_index(pixels, work.group);
    var walk = begin_walk(range, counts, phase);
    for (var step = range.first; step < range.end; step++) {
        var line_inside = pixels.source_row + walk.place.x < vec4(sizes.extent.y);
        if GENERAL {
            line_inside = line_inside & (pixels.source_depth + walk.depth < vec4(sizes.extent.x));
        }
        var column = pixels.source_column + walk.place.y;
        var i = source + walk.place.z;
        var at = weights + walk.place.w * (OUTPUTS / 4u);
        // Where the sources slide, only one of them is new for each tap.
        var loaded = vec4<f32>();
        if SLIDE == 1u {
            loaded = vec4(0.0, f32(x[i.x]), f32(x[i.y]), f32(x[i.z]));
        } else if SLIDE == 2u {
            loaded = vec4(f32(x[i.y]), f32(x[i.z]), f32(x[i.w]), 0.0);
        }
        for (var inner = range.inner; inner < range.inner_end; inner++) {
            if SLIDE == 1u {
                loaded = vec4(loaded.yzw, f32(x[i.w]));
            } else if SLIDE == 2u {
                loaded = vec4(f32(x[i.x]), loaded.xyz);
            } else {
                loaded = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
            }
            let a = select(vec4<f32>(), loaded, line_inside & (column < vec4(sizes.extent.z)));
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
            // The inner loop stays in a row.
            column += sizes.inner.y;
            i += sizes.inner.z;
            at += sizes.inner.w * (OUTPUTS / 4u);
        }
        walk = next_step(walk, counts);
    }
    let pixel_end = pixel_count(phase);
    return Block(
        output_index(pixels, work.group, output),
        work.part,
        select(0u, min(OUTPUTS, sizes.outputs - output), work.part < sizes.parts && first < pixel_end),
        min(4u, pixel_end - first),
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
    if VECTORS {
        store4(i.x, values);
        return;
    }
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
