// y = exp(x − m) / Σ exp(x − m) for rows of 1024: one subgroup of eight a row
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const VECTORS = 256u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = group.x * VECTORS + lane;
    var m = vec4(-3.402823e38);
    for (var i = 0u; i < VECTORS; i += 8u) {
        m = max(m, x[first + i]);
    }
    let largest = subgroupMax(max(max(m.x, m.y), max(m.z, m.w)));
    var total = vec4<f32>();
    for (var i = 0u; i < VECTORS; i += 8u) {
        total += exp(x[first + i] - largest);
    }
    let sum = subgroupAdd((total.x + total.y) + (total.z + total.w));
    for (var i = 0u; i < VECTORS; i += 8u) {
        y[first + i] = exp(x[first + i] - largest) / sum;
    }
}
