// Rows of `p.n` elements that are `p.inner` apart, taken four at a time; `p` is the file's uniform.
// Sums go through blocks of 16 fours, so that their rounding errors stay those of short sums.
//#import turned
const BLOCK = 16u;

// Whether every four is a whole vector: rows are contiguous and n is a multiple of 4.
override ALIGNED: bool = false;
// Whether the elements of a row are neighbours.
override CONTIGUOUS: bool = false;

fn row_start(row: u32) -> u32 {
    return row / p.inner * p.n * p.inner + row % p.inner;
}

// Where the four elements from k on are; past the end, the last element again.
fn row_indices(start: u32, k: u32) -> vec4<u32> {
    return start + min(k + vec4(0u, 1u, 2u, 3u), vec4(p.n - 1u)) * p.inner;
}

// Where the first of the four elements from k on is; past the end, the last element.
fn row_first(start: u32, k: u32) -> u32 {
    return start + min(k, p.n - 1u);
}

// The four values from k on of a row of neighbours, of the vector the first one lies in and the next; past the end, the first.
fn row_four(start: u32, k: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let four = turned(a, b, row_first(start, k) % 4u);
    return select(four.xxxx, four, row_has(k));
}

// Which of the four elements from k on exist.
fn row_has(k: u32) -> vec4<bool> {
    return k + vec4(0u, 1u, 2u, 3u) < vec4(p.n);
}

// The four values from k on, zero for those past the end.
fn row_keep(k: u32, value: vec4<f32>) -> vec4<f32> {
    if ALIGNED {
        return value;
    }
    return select(vec4(0.0), value, row_has(k));
}
