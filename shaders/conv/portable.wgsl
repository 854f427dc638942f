// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] as a matrix product of tiles that are gathered on the way.
//#import chain
//#import correlation
//#import index

@group(0) @binding(0) var<storage, read> x: array<real>;
// [groups, outputs, inputs, taps] in its own strides.
@group(0) @binding(1) var<storage, read> w: array<real>;
// [groups · outputs], or anything where there is none.
@group(0) @binding(2) var<storage, read> bias: array<real>;
// The result, [N, K, rows, columns] in its own strides.
@group(0) @binding(3) var<storage, read_write> y: array<real>;
// Or parts of the sum, [parts, elements of y].
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

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
    let work = find_work(id, SIDE, SIDE);
    let phase = work.phase;
    let counts = loop_counts(phase);
    let range = find_part(work.part, counts);
    let depth = (range.end - range.first) * (range.inner_end - range.inner);

    let lane = thread % 16u;
    let line = thread / 16u;
    // Neighbouring threads load and store neighbouring pixels, so a thread's own four are 16 apart.
    let numbers = work.span * SIDE + lane + vec4(0u, 16u, 32u, 48u);
    let pixels = find_pixels(numbers, phase);
    let source = source_index(pixels, work.group);
    let outputs = work.block * SIDE + line * 4u + vec4(0u, 1u, 2u, 3u);
    let near = min(outputs, vec4(sizes.outputs - 1u));
    let weights = work.group * sizes.w_group + near * sizes.w_output + first_tap(phase);

    let b = work.group * sizes.outputs + near;
    let loaded = vec4<f32>(f32(bias[b.x]), f32(bias[b.y]), f32(bias[b.z]), f32(bias[b.w]));
    var sums = outer_product(vec4<f32>(1.0), select(vec4<f32>(), loaded, vec4(work.part == 0u && sizes.bias == 1u)));
    for (var first = 0u; first < depth; first += DEPTH) {
        let w_step = find_step(first + lane, depth, range, counts);
        let at = weights + w_step.place.w;
        let w_here = vec4<f32>(f32(w[at.x]), f32(w[at.y]), f32(w[at.z]), f32(w[at.w]));
        w_tile[lane * ROW + line] = select(vec4<f32>(), w_here, (outputs < vec4(sizes.outputs)) & vec4(w_step.inside));

        let x_step = find_step(first + line, depth, range, counts);
        var inside = (pixels.source_row + x_step.place.x < vec4(sizes.extent.y)) & vec4(x_step.inside);
        inside = inside & (pixels.source_column + x_step.place.y < vec4(sizes.extent.z));
        if GENERAL {
            inside = inside & (pixels.source_depth + x_step.depth < vec4(sizes.extent.x));
        }
        let i = source + x_step.place.z;
        let x_here = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
        x_tile[line * ROW + lane] = select(vec4<f32>(), x_here, inside);
        workgroupBarrier();

        // No loop: drivers keep one that is checked for its end.
        sums += products(0u, lane, line);
        sums += products(1u, lane, line);
        sums += products(2u, lane, line);
        sums += products(3u, lane, line);
        sums += products(4u, lane, line);
        sums += products(5u, lane, line);
        sums += products(6u, lane, line);
        sums += products(7u, lane, line);
        sums += products(8u, lane, line);
        sums += products(9u, lane, line);
        sums += products(10u, lane, line);
        sums += products(11u, lane, line);
        sums += products(12u, lane, line);
        sums += products(13u, lane, line);
        sums += products(14u, lane, line);
        sums += products(15u, lane, line);
        workgroupBarrier();
    }
    return Block(
        output_index(pixels, work.group, outputs.x),
        work.part,
        select(0u, min(4u, sizes.outputs - outputs.x), work.part < sizes.parts && outputs.x < sizes.outputs),
        numbers < vec4(pixel_count(phase)),
        sums,
    );
}

fn outer_product(pixels: vec4<f32>, outputs: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(pixels * outputs.x, pixels * outputs.y, pixels * outputs.z, pixels * outputs.w);
}

// What one (input, tap) pair adds.
fn products(d: u32, lane: u32, line: u32) -> mat4x4<f32> {
    return outer_product(x_tile[d * ROW + lane], w_tile[d * ROW + line]);
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
