// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] for groups of few outputs, down to one input and output.
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

// A thread computes all outputs of a group, at most this many, for neighbouring pixels of one row.
override OUTPUTS: u32 = 1;
// What the source of a pixel with the next tap is: 1: that of the next pixel, 2: that of the last pixel, 0: neither.
override SLIDE: u32 = 0;
const PIXELS = 8u;
const THREADS = 64u;

// Sources of eight pixels.
fn load_window(i: u32, column: u32, line_inside: bool) -> mat2x4<f32> {
    let steps = sizes.stride.z * vec4(0u, 1u, 2u, 3u);
    let a = i + steps;
    let b = a + 4u * sizes.stride.z;
    let near = vec4<f32>(f32(x[a.x]), f32(x[a.y]), f32(x[a.z]), f32(x[a.w]));
    let far = vec4<f32>(f32(x[b.x]), f32(x[b.y]), f32(x[b.z]), f32(x[b.w]));
    let near_inside = (column + steps < vec4(sizes.extent.z)) & vec4(line_inside);
    let far_inside = (column + 4u * sizes.stride.z + steps < vec4(sizes.extent.z)) & vec4(line_inside);
    return mat2x4<f32>(select(vec4<f32>(), near, near_inside), select(vec4<f32>(), far, far_inside));
}

// What a thread computes, and where it belongs.
struct Block {
    // Where output 0 of the first pixel belongs, in y or in its part.
    index: u32,
    part: u32,
    outputs: u32,
    pixels: u32,
    sums: array<mat2x4<f32>, 4>,
}

// Thread `number` of those that count pixels of a row first, then rows, planes, images, groups, phases and parts.
fn correlate(number: u32) -> Block {
    var most = sizes.size;
    if GENERAL { most = (most + sizes.spread - 1u) / sizes.spread; }
    let spans = (most.z + PIXELS - 1u) / PIXELS;
    let line = number / spans;
    var rest = line / most.y;
    var element = vec3(0u, line - rest * most.y, (number - line * spans) * PIXELS);
    if GENERAL {
        element.x = rest % most.x;
        rest /= most.x;
    }
    let batch = rest % sizes.batch;
    rest /= sizes.batch;
    let group = rest % sizes.groups;
    rest /= sizes.groups;
    var phase = find_phase(0u);
    if GENERAL {
        let phases = sizes.phases.x * sizes.phases.y * sizes.phases.z;
        phase = find_phase(rest % phases);
        rest /= phases;
    }
    let part = rest;

    let origin = element * sizes.stride + phase.start;
    let image = batch * sizes.x_batch + group * sizes.x_group;
    let source = image + (origin.x * sizes.extent.y + origin.y) * sizes.extent.z + origin.z;
    let outputs = min(vec4(0u, 1u, 2u, 3u), vec4(sizes.outputs - 1u));
    let weights = group * sizes.w_group + outputs * sizes.w_output;
    let counts = loop_counts(phase);
    let range = find_part(part, counts);

    let b = group * sizes.outputs + outputs;
    let one = select(0.0, 1.0, part == 0u && sizes.bias == 1u);
    let ones = mat2x4<f32>(vec4(one), vec4(one));
    var s0 = select(0.0, f32(bias[b.x]), sizes.bias == 1u) * ones;
    var s1 = mat2x4<f32>();
    var s2 = mat2x4<f32>();
    var s3 = mat2x4<f32>();
    if OUTPUTS > 1u {
        s1 = select(0.0, f32(bias[b.y]), sizes.bias == 1u) * ones;
        s2 = select(0.0, f32(bias[b.z]), sizes.bias == 1u) * ones;
        s3 = select(0.0, f32(bias[b.w]), sizes.bias == 1u) * ones;
    }
    var walk = begin_walk(range, counts, phase);
    for (var step = range.first; step < range.end; step++) {
        let depth_inside = !GENERAL || origin.x + walk.depth < sizes.extent.x;
        let line_inside = origin.y + walk.place.x < sizes.extent.y && depth_inside;
        var column = origin.z + walk.place.y;
        var i = source + walk.place.z;
        var at = weights + walk.place.w;
        // Where the sources slide, only one of them is new for each tap.
        var window = mat2x4<f32>();
        if SLIDE != 0u {
            window = load_window(i - sizes.inner.z, column - sizes.inner.y, line_inside);
        }
        for (var inner = range.inner; inner < range.inner_end; inner++) {
            if SLIDE == 1u {
                let next = column + (PIXELS - 1u) * sizes.stride.z;
                let loaded = f32(x[i + (PIXELS - 1u) * sizes.stride.z]);
                let last = select(0.0, loaded, line_inside && next < sizes.extent.z);
                window = mat2x4<f32>(vec4(window[0].yzw, window[1].x), vec4(window[1].yzw, last));
            } else if SLIDE == 2u {
                let first = select(0.0, f32(x[i]), line_inside && column < sizes.extent.z);
                window = mat2x4<f32>(vec4(first, window[0].xyz), vec4(window[0].w, window[1].xyz));
            } else {
                window = load_window(i, column, line_inside);
            }
            s0 += f32(w[at.x]) * window;
            if OUTPUTS > 1u {
                s1 += f32(w[at.y]) * window;
                s2 += f32(w[at.z]) * window;
                s3 += f32(w[at.w]) * window;
            }
            column += sizes.inner.y;
            i += sizes.inner.z;
            at += sizes.inner.w;
        }
        walk = next_step(walk, counts);
    }

    let to = element * sizes.spread + phase.number;
    let result = batch * sizes.y_batch + group * sizes.y_group;
    let inside = all(element < phase.count) && part < sizes.parts;
    return Block(
        result + (to.x * sizes.size.y + to.y) * sizes.size.z + to.z,
        part,
        select(0u, sizes.outputs, inside),
        min(PIXELS, phase.count.z - element.z),
        array<mat2x4<f32>, 4>(s0, s1, s2, s3),
    );
}

// Four pixels are stored, then the others move up, as registers cannot be counted through.
@compute @workgroup_size(THREADS)
fn correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = correlate(workgroup_index(group, groups) * THREADS + thread);
    var s = block.sums;
    for (var output = 0u; output < block.outputs; output++) {
        var i = block.index + output * sizes.y_output;
        for (var pixel = 0u; pixel < block.pixels; pixel += 4u) {
            let left = block.pixels - pixel;
            store(i, s[0][0].x);
            if left > 1u { store(i + sizes.spread.z, s[0][0].y); }
            if left > 2u { store(i + 2u * sizes.spread.z, s[0][0].z); }
            if left > 3u { store(i + 3u * sizes.spread.z, s[0][0].w); }
            s[0][0] = s[0][1];
            i += 4u * sizes.spread.z;
        }
        s = array<mat2x4<f32>, 4>(s[1], s[2], s[3], s[3]);
    }
}

@compute @workgroup_size(THREADS)
fn partial_correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = correlate(workgroup_index(group, groups) * THREADS + thread);
    var s = block.sums;
    for (var output = 0u; output < block.outputs; output++) {
        var i = block.index + output * sizes.y_output + block.part * sizes.elements;
        for (var pixel = 0u; pixel < block.pixels; pixel += 4u) {
            let left = block.pixels - pixel;
            partial[i] = s[0][0].x;
            if left > 1u { partial[i + sizes.spread.z] = s[0][0].y; }
            if left > 2u { partial[i + 2u * sizes.spread.z] = s[0][0].z; }
            if left > 3u { partial[i + 3u * sizes.spread.z] = s[0][0].w; }
            s[0][0] = s[0][1];
            i += 4u * sizes.spread.z;
        }
        s = array<mat2x4<f32>, 4>(s[1], s[2], s[3], s[3]);
    }
}
