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

// Adds the products of four columns of four numbers with four rows of eight. A sum takes all it gets before the next
// one: software drivers keep the sums in memory and then load and store each once.
fn block_add_square(
    sums: ptr<function, Block>,
    columns: array<vec4<f32>, 4>,
    left: array<vec4<f32>, 4>,
    right: array<vec4<f32>, 4>,
) {
    let a = columns[0];
    let b = columns[1];
    let c = columns[2];
    let d = columns[3];
    (*sums)[0] = (*sums)[0] + a.x * left[0] + b.x * left[1] + c.x * left[2] + d.x * left[3];
    (*sums)[1] = (*sums)[1] + a.x * right[0] + b.x * right[1] + c.x * right[2] + d.x * right[3];
    (*sums)[2] = (*sums)[2] + a.y * left[0] + b.y * left[1] + c.y * left[2] + d.y * left[3];
    (*sums)[3] = (*sums)[3] + a.y * right[0] + b.y * right[1] + c.y * right[2] + d.y * right[3];
    (*sums)[4] = (*sums)[4] + a.z * left[0] + b.z * left[1] + c.z * left[2] + d.z * left[3];
    (*sums)[5] = (*sums)[5] + a.z * right[0] + b.z * right[1] + c.z * right[2] + d.z * right[3];
    (*sums)[6] = (*sums)[6] + a.w * left[0] + b.w * left[1] + c.w * left[2] + d.w * left[3];
    (*sums)[7] = (*sums)[7] + a.w * right[0] + b.w * right[1] + c.w * right[2] + d.w * right[3];
}
