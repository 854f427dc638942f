// y[i / 4] = value: how a kernel that stores whole vectors does, where nothing is fused into it.
@group(0) @binding(16) var<storage, read_write> y_vectors: array<vec4<real>>;

fn store4(i: u32, value: vec4<f32>) {
    y_vectors[i / 4u] = vec4<real>(value);
}

// Only there for the kernel to be valid.
fn store(i: u32, value: f32) {}
