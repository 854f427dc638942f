// packed[group, block, t, c, i] = w[group, block·OUTPUTS + i, c, t]: the weights of many outputs side by side.
//#import correlation
//#import index

// [groups, outputs, inputs, taps] in its own strides.
@group(0) @binding(0) var<storage, read> w: array<real>;
// [groups, blocks, taps, inputs, OUTPUTS / 4]; zero past the last output.
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

override OUTPUTS: u32 = 32;
const THREADS = 64u;
// A thread packs so many neighbouring (tap, input) pairs, to divide once for all of them.
const PAIRS = 16u;

fn weight(i: u32, output: u32) -> f32 {
    return select(0.0, f32(w[select(0u, i, output < sizes.outputs)]), output < sizes.outputs);
}

@compute @workgroup_size(THREADS)
fn pack(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let quarters = OUTPUTS / 4u;
    let blocks = (sizes.outputs + OUTPUTS - 1u) / OUTPUTS;
    let pairs = sizes.w_taps * sizes.inputs;
    let spans = (pairs + PAIRS - 1u) / PAIRS;
    let id = workgroup_index(group, groups) * THREADS + thread;
    let quarter = id % quarters;
    let first = id / quarters % spans * PAIRS;
    let block = id / quarters / spans;
    if block >= sizes.groups * blocks {
        return;
    }
    let output = block % blocks * OUTPUTS + quarter * 4u;
    let base = block / blocks * sizes.w_group + output * sizes.w_output;
    var tap = first / sizes.inputs;
    var input = first % sizes.inputs;
    for (var pair = first; pair < min(first + PAIRS, pairs); pair++) {
        let i = base + input * sizes.w_input + tap;
        packed[(block * pairs + pair) * quarters + quarter] = vec4<f32>(
            weight(i, output),
            weight(i + sizes.w_output, output + 1u),
            weight(i + 2u * sizes.w_output, output + 2u),
            weight(i + 3u * sizes.w_output, output + 3u),
        );
        input++;
        if input == sizes.inputs {
            input = 0u;
            tap++;
        }
    }
}
