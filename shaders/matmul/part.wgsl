// Parts of a sum are kept in f32 whatever y is: parts[i] = value.
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>; // [parts, batch, m, n]

fn store(i: u32, value: f32) {
    parts[i / 4u][i % 4u] = value;
}

fn store4(i: u32, value: vec4<f32>) {
    parts[i / 4u] = value;
}
