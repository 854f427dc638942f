// The tile that the workgroup shares, in vectors of four neighbours: [row, column / 4].
var<workgroup> attention_tile: array<vec4<f32>, ATTENTION_ROWS * 16u>;

fn attention_of_tile(i: u32) -> vec4<f32> {
    return attention_tile[i];
}

fn attention_to_tile(i: u32, x: vec4<f32>) {
    attention_tile[i] = x;
}
