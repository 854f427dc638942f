// y[i] = y[i] + value: a product whose k is summed in several dispatches adds to what is there,
// rounded to y's element type in between.
@group(0) @binding(2) var<storage, read_write> y: array<vec4<real>>; // [batch, m, n]

fn store(i: u32, value: f32) {
    y[i / 4u][i % 4u] = real(f32(y[i / 4u][i % 4u]) + value);
}

fn store4(i: u32, value: vec4<f32>) {
    y[i / 4u] = vec4<real>(vec4<f32>(y[i / 4u]) + value);
}
