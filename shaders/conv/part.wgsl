// Parts of a sum are kept in f32 whatever y is: partial[i] = value.
@group(0) @binding(3) var<storage, read_write> partial: array<f32>; // [parts, elements of y]

fn store(i: u32, value: f32) {
    partial[i] = value;
}
