// y[i] = a chain of fused multiply-adds from x[i]: the arithmetic roofline
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const ROUNDS = 512u;

@compute @workgroup_size(64)
fn fma_chain(@builtin(global_invocation_id) id: vec3<u32>) {
    // Eight independent chains hide the latency of each.
    let i = id.x;
    var a = vec4(x[i]);
    var b = a + 1.0;
    let scale = vec4(x[0]);
    for (var round = 0u; round < ROUNDS; round++) {
        a = fma(a, scale, b);
        b = fma(b, scale, a);
    }
    y[i] = dot(a, b);
}
