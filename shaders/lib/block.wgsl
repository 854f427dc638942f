// Σ x·w for four rows and eight columns that one thread holds: the products every tiled kernel is made of.
// The sums of four rows and eight columns: row by row, each as two vectors.
alias Block = array<vec4<f32>, 8>;

// Adds the products of four numbers of a column with eight of a row.
fn block_add(sums: ptr<function, Block>, x: vec4<f32>, left: vec4<f32>, right: vec4<f32>) {
    (*sums)[0] += x.x * left;
    (*sums)[1] += x.x * right;
    (*sums)[2] += x.y * left;
    (*sums)[3] += x.y * right;
    (*sums)[4] += x.z * left;
    (*sums)[5] += x.z * right;
    (*sums)[6] += x.w * left;
    (*sums)[7] += x.w * right;
}

// Adds the products of four columns of four numbers with four rows of eight.
fn block_add_square(
    sums: ptr<function, Block>,
    columns: array<vec4<f32>, 4>,
    left: array<vec4<f32>, 4>,
    right: array<vec4<f32>, 4>,
) {
    block_add(sums, columns[0], left[0], right[0]);
    block_add(sums, columns[1], left[1], right[1]);
    block_add(sums, columns[2], left[2], right[2]);
    block_add(sums, columns[3], left[3], right[3]);
}
