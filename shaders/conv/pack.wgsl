// packed[group, block, t·inputs + c, i] = w[group, block·OUTPUTS + i, c, t], then bias[group, block·OUTPUTS + i].
//#import index

// [groups, outputs, inputs, taps] in its own strides.
@group(0) @binding(0) var<storage, read> w: array<real>;
// [groups · outputs], or anything where there is none.
@group(0) @binding(1) var<storage, read> bias: array<real>;
// [groups, blocks, taps · inputs + 1, OUTPUTS / 4]; zero past the last output, and where there is no bias.
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

struct Sizes {
    groups: u32,
    outputs: u32,
    inputs: u32,
    taps: u32,
    w_group: u32,
    w_output: u32,
    w_input: u32,
    // 1 where there is a bias.
    bias: u32,
}
@group(0) @binding(3) var<uniform> sizes: Sizes;

override OUTPUTS: u32 = 32;
const THREADS = 64u;
// A thread packs so many neighbouring rows, to divide once for all of them.
const ROWS = 16u;

@compute @workgroup_size(THREADS)
fn pack(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let quarters = OUTPUTS / 4u;
    let blocks = (sizes.outputs + OUTPUTS - 1u) / OUTPUTS;
    let rows = sizes.taps * sizes.inputs + 1u;
    let spans = (rows + ROWS - 1u) / ROWS;
    let id = workgroup_index(group, groups) * THREADS + thread;
    let quarter = id % quarters;
    let first = id / quarters % spans * ROWS;
    let block = id / quarters / spans;
    if block >= sizes.groups * blocks {
        return;
    }
    let owner = block / blocks;
    let outputs = block % blocks * OUTPUTS + quarter * 4u + vec4(0u, 1u, 2u, 3u);
    let inside = outputs < vec4(sizes.outputs);
    let base = owner * sizes.w_group + min(outputs, vec4(sizes.outputs - 1u)) * sizes.w_output;
    let last = min(first + ROWS, rows);
    var tap = first / sizes.inputs;
    var input = first % sizes.inputs;
    var to = (block * rows + first) * quarters + quarter;
    for (var row = first; row < min(last, rows - 1u); row++) {
        let i = base + input * sizes.w_input + tap;
        let weights = vec4<f32>(f32(w[i.x]), f32(w[i.y]), f32(w[i.z]), f32(w[i.w]));
        packed[to] = select(vec4<f32>(), weights, inside);
        to += quarters;
        input++;
        if input == sizes.inputs {
            input = 0u;
            tap++;
        }
    }
    if last == rows {
        let i = owner * sizes.outputs + min(outputs, vec4(sizes.outputs - 1u));
        let numbers = vec4<f32>(f32(bias[i.x]), f32(bias[i.y]), f32(bias[i.z]), f32(bias[i.w]));
        packed[to] = select(vec4<f32>(), numbers, inside & vec4(sizes.bias == 1u));
    }
}
