// Where nothing is fused into a kernel, its result is stored as it is: y[i] = value.
fn store(i: u32, value: f32) {
    y[i] = real(value);
}

fn store4(i: u32, value: vec4<f32>) {
    y[i] = real(value.x);
    y[i + 1u] = real(value.y);
    y[i + 2u] = real(value.z);
    y[i + 3u] = real(value.w);
}
