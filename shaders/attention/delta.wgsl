// words = [log Σ exp, δ with δ[i] = Σ_c dy[i, c]·y[i, c], the words of forward]: what the gradients of attention read beside their tensors.
//#import index
// The rows from `first` to `last`; of dy and y what comes before the `skipped` first elements is not bound.
struct DeltaSizes { rows: u32, width: u32, heads: u32, queries: u32, step: vec4<u32>, count: u32, first: u32, last: u32, skipped: u32 }
@group(0) @binding(0) var<storage, read> dy: array<real>; // [B, H, Tq, Dv]
@group(0) @binding(1) var<storage, read> y: array<real>; // [B, H, Tq, Dv]
@group(0) @binding(2) var<storage, read> lse: array<f32>; // [B, H, Tq]
@group(0) @binding(3) var<storage, read> old: array<u32>; // [count]
@group(0) @binding(4) var<storage, read_write> words: array<u32>; // [2·rows + count]
@group(0) @binding(5) var<uniform> sizes: DeltaSizes;

@compute @workgroup_size(64)
fn delta(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = sizes.first + workgroup_index(group, groups) * 64u + thread;
    if i >= sizes.last {
        if sizes.last == sizes.rows && i < sizes.rows + sizes.count {
            words[sizes.rows + i] = old[i - sizes.rows];
        }
        return;
    }
    let head = i / sizes.queries;
    let start = head / sizes.heads * sizes.step.x + head % sizes.heads * sizes.step.y + i % sizes.queries * sizes.step.z - sizes.skipped;
    var sum = 0.0;
    for (var c = 0u; c < sizes.width; c++) {
        sum += f32(dy[start + c]) * f32(y[start + c]);
    }
    words[i] = bitcast<u32>(lse[i]);
    words[sizes.rows + i] = bitcast<u32>(sum);
}
