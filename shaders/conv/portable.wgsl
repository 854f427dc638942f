// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] as a matrix product of tiles that are gathered on the way.
//#import chain
//#import correlation
//#import index

@group(0) @binding(0) var<storage, read> x: array<real>;
// [groups, outputs, inputs, taps] in its own strides.
@group(0) @binding(1) var<storage, read> w: array<real>;
// The result, [N, K, rows, columns] in its own strides.
@group(0) @binding(2) var<storage, read_write> y: array<real>;
// Or parts of the sum, [parts, elements of y].
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

// A workgroup computes SIDE outputs × SIDE pixels and sums over DEPTH (input, tap) pairs at a time; each of its
// 16 × 16 threads holds 4 outputs × 4 pixels.
const SIDE = 64u;
const DEPTH = 16u;
// One vector more than a row needs keeps the columns in different banks.
const ROW = 17u;
var<workgroup> w_tile: array<vec4<f32>, DEPTH * ROW>;
var<workgroup> x_tile: array<vec4<f32>, DEPTH * ROW>;

// What a thread computes, and where it belongs.
struct Block {
    // Where its first output belongs, for each pixel, in y or in its part.
    index: vec4<u32>,
    part: u32,
    outputs: u32,
    inside: vec4<bool>,
    sums: mat4x4<f32>,
}

fn correlate(id: u32, thread: u32) -> Block {
    let count = sizes.batch * sizes.rows * sizes.columns;
    let spans = (count + SIDE - 1u) / SIDE;
    let blocks = (sizes.outputs + SIDE - 1u) / SIDE;
    let group = id / spans % (blocks * sizes.groups) / blocks;
    let block = id / spans % blocks * SIDE;
    let part = id / spans / (blocks * sizes.groups);
    let range = part_range(part);
    let depth = range.inputs * (range.tap_end - range.tap);

    let lane = thread % 16u;
    let line = thread / 16u;
    // Neighbouring threads load and store neighbouring pixels, so a thread's own four are 16 apart.
    let numbers = id % spans * SIDE + lane + vec4(0u, 16u, 32u, 48u);
    let pixels = find_pixels(numbers);
    let row = pixels.row * sizes.stride_row + sizes.start_row;
    let column = pixels.column * sizes.stride_column + sizes.start_column;
    let x_base = pixels.batch * sizes.x_batch + group * sizes.x_group;
    let w_outputs = block + line * 4u + vec4(0u, 1u, 2u, 3u);
    let w_base = group * sizes.w_group + min(w_outputs, vec4(sizes.outputs - 1u)) * sizes.w_output;

    var sums = mat4x4<f32>();
    for (var first = 0u; first < depth; first += DEPTH) {
        let w_pair = find_pair(first + lane, depth, range);
        let w_at = w_base + w_pair.input * sizes.w_input + w_pair.place;
        let w_here = vec4<f32>(f32(w[w_at.x]), f32(w[w_at.y]), f32(w[w_at.z]), f32(w[w_at.w]));
        w_tile[lane * ROW + line] = select(vec4<f32>(), w_here, (w_outputs < vec4(sizes.outputs)) & vec4(w_pair.inside));

        let x_pair = find_pair(first + line, depth, range);
        let source_row = row + x_pair.row * sizes.step_row;
        let source_column = column + x_pair.column * sizes.step_column;
        let inside = (source_row < vec4(sizes.height)) & (source_column < vec4(sizes.width)) & vec4(x_pair.inside);
        let place = x_base + x_pair.input * sizes.x_input + source_row * sizes.width + source_column;
        let x_at = select(vec4(0u), place, inside);
        let x_here = vec4<f32>(f32(x[x_at.x]), f32(x[x_at.y]), f32(x[x_at.z]), f32(x[x_at.w]));
        x_tile[line * ROW + lane] = select(vec4<f32>(), x_here, inside);
        workgroupBarrier();

        for (var d = 0u; d < DEPTH; d++) {
            let a = x_tile[d * ROW + lane];
            let b = w_tile[d * ROW + line];
            sums += mat4x4<f32>(a * b.x, a * b.y, a * b.z, a * b.w);
        }
        workgroupBarrier();
    }
    let output = block + line * 4u;
    return Block(
        output_index(pixels, group, output),
        part,
        select(0u, min(4u, sizes.outputs - output), part < sizes.parts && output < sizes.outputs),
        numbers < vec4(count),
        sums,
    );
}

// The input and tap of one step of the sum. Past the end it is the first, and outside.
struct Pair {
    input: u32,
    row: u32,
    column: u32,
    place: u32,
    inside: bool,
}

fn find_pair(number: u32, depth: u32, range: Part) -> Pair {
    let inside = number < depth;
    let pair = select(0u, number, inside);
    let taps = range.tap_end - range.tap;
    let tap = range.tap + pair % taps;
    let row = tap / sizes.tap_columns;
    let column = tap % sizes.tap_columns;
    let place = sizes.w_first + row * sizes.w_row + column * sizes.w_column;
    return Pair(range.input + pair / taps, row, column, place, inside);
}

@compute @workgroup_size(256)
fn correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = correlate(workgroup_index(group, groups), thread);
    var i = block.index;
    for (var output = 0u; output < block.outputs; output++) {
        for (var pixel = 0u; pixel < 4u; pixel++) {
            if block.inside[pixel] { store(i[pixel], block.sums[output][pixel]); }
        }
        i += sizes.y_output;
    }
}

@compute @workgroup_size(256)
fn partial_correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = correlate(workgroup_index(group, groups), thread);
    var i = block.index + block.part * sizes.elements;
    for (var output = 0u; output < block.outputs; output++) {
        for (var pixel = 0u; pixel < 4u; pixel++) {
            if block.inside[pixel] { partial[i[pixel]] = block.sums[output][pixel]; }
        }
        i += sizes.y_output;
    }
}
