// y[i] = value, four at a time where they are neighbours.
@group(0) @binding(2) var<storage, read_write> y: array<vec4<real>>; // [batch, m, n]

fn store(i: u32, value: f32) {
    y[i / 4u][i % 4u] = real(value);
}

fn store4(i: u32, value: vec4<f32>) {
    y[i / 4u] = vec4<real>(value);
}
