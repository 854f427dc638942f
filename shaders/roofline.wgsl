// y[i] = a chain of fused multiply-adds from x[i], or x[i] itself: what the device computes and moves at most
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

override ROUNDS: u32 = 512u;
override VECTORS: u32 = 1u; // neighbours one thread copies

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    // Eight independent chains hide the latency of each; all take the same two numbers, which registers then hand out at
    // once: vectors of them would be read from one bank. Eight links in a row, so that what the loop itself costs does not count.
    let i = id.x;
    var a = x[i];
    var b = a + 1.0;
    let scale = vec4(x[0].x);
    let shift = vec4(x[0].y);
    for (var round = 0u; round < ROUNDS; round += 8u) {
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
    }
    y[i] = a + b;
}

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var v = 0u; v < VECTORS; v++) {
        let i = id.x * VECTORS + v;
        y[i] = x[i];
    }
}
