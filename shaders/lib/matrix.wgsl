// y = a·b with a[m, k] and b[k, n], as all variants of matmul see it: each of the two may be stored
// transposed, bound from any element on, and repeated along some of the batch dimensions.
//#import block

struct MatmulSizes {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    // Rows as they lie in memory: their length in elements. y[i, j] lies at i·y_row + j·y_column.
    a_row: u32,
    b_row: u32,
    y_row: u32,
    y_column: u32,
    // The first element of each within what is bound.
    a_first: u32,
    b_first: u32,
    y_first: u32,
    y_batch: u32,
    // k is summed in `parts` parts of `part_k`, whose results lie `part_y` apart.
    parts: u32,
    part_k: u32,
    part_y: u32,
    // The rows of a tile: drivers unroll loops whose length they know.
    tile_rows: u32,
    // The batch dimensions, outermost first, and how far apart a and b lie along them.
    batch_size: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<real>>; // [batch, m, k] or [batch, k, m]
@group(0) @binding(1) var<storage, read> b: array<vec4<real>>; // [batch, k, n] or [batch, n, k]
@group(0) @binding(3) var<uniform> sizes: MatmulSizes;

override TRANSPOSED_A: bool = false;
override TRANSPOSED_B: bool = false;
// Whether four neighbours always lie in one vector; then rows are whole numbers of vectors.
override VECTORS_A: bool = false;
override VECTORS_B: bool = false;
override VECTORS_Y: bool = false;

// What a workgroup computes: rows from `row`, columns from `column`, k from `begin` to `end`, with the
// places of its first elements.
struct MatmulTile {
    row: u32,
    column: u32,
    begin: u32,
    end: u32,
    a: u32,
    b: u32,
    y: u32,
    inside: bool,
}

// Tiles side by side share a, tiles on top of each other b: walk them in bands of four so that both
// stay in a cache.
const MATMUL_BAND = 4u;

fn matmul_tile(group: u32, rows: u32, columns: u32) -> MatmulTile {
    let down = (sizes.m + rows - 1u) / rows;
    let across = (sizes.n + columns - 1u) / columns;
    let batch_and_part = group / (down * across);
    var rest = group % (down * across);
    let band = rest / (across * MATMUL_BAND);
    rest %= across * MATMUL_BAND;
    let height = min(MATMUL_BAND, down - band * MATMUL_BAND);

    var tile: MatmulTile;
    tile.row = (band * MATMUL_BAND + rest % height) * rows;
    tile.column = rest / height * columns;
    let part = batch_and_part % sizes.parts;
    let batch = batch_and_part / sizes.parts;
    tile.inside = batch < sizes.batches;
    tile.begin = part * sizes.part_k;
    tile.end = min(tile.begin + sizes.part_k, sizes.k);
    tile.y = sizes.y_first + batch * sizes.y_batch + part * sizes.part_y;

    let size = sizes.batch_size;
    let outer = vec4(batch / (size.y * size.z * size.w), batch / (size.z * size.w), batch / size.w, batch);
    let index = vec4(outer.x, outer.yzw % size.yzw);
    let a_offset = index * sizes.a_batch;
    let b_offset = index * sizes.b_batch;
    tile.a = sizes.a_first + a_offset.x + a_offset.y + a_offset.z + a_offset.w;
    tile.b = sizes.b_first + b_offset.x + b_offset.y + b_offset.z + b_offset.w;
    return tile;
}

// Four neighbours in memory from element i on; zeros for those beyond the first `count`.
fn matmul_a_vector(i: u32, count: u32) -> vec4<f32> {
    if VECTORS_A {
        return vec4<f32>(a[i / 4u]);
    }
    let at = min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u)) + i;
    let x = vec4(a[at.x / 4u][at.x % 4u], a[at.y / 4u][at.y % 4u], a[at.z / 4u][at.z % 4u], a[at.w / 4u][at.w % 4u]);
    return select(vec4<f32>(), vec4<f32>(x), vec4(0u, 1u, 2u, 3u) < vec4(count));
}

fn matmul_b_vector(i: u32, count: u32) -> vec4<f32> {
    if VECTORS_B {
        return vec4<f32>(b[i / 4u]);
    }
    let at = min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u)) + i;
    let x = vec4(b[at.x / 4u][at.x % 4u], b[at.y / 4u][at.y % 4u], b[at.z / 4u][at.z % 4u], b[at.w / 4u][at.w % 4u]);
    return select(vec4<f32>(), vec4<f32>(x), vec4(0u, 1u, 2u, 3u) < vec4(count));
}

// a[row, k..k+4], or where a is stored transposed a[row..row+4, k]: zeros where k is past the tile's
// end, and some number of the matrix where a row is past its last.
fn matmul_a(tile: MatmulTile, row: u32, k: u32) -> vec4<f32> {
    var width = 1u;
    if VECTORS_A {
        width = 4u;
    }
    var x: vec4<f32>;
    if TRANSPOSED_A {
        let i = min(row, sizes.m - width);
        x = matmul_a_vector(tile.a + min(k, tile.end - 1u) * sizes.a_row + i, sizes.m - i);
    } else {
        let l = min(k, tile.end - width);
        x = matmul_a_vector(tile.a + min(row, sizes.m - 1u) * sizes.a_row + l, tile.end - l);
    }
    return select(vec4<f32>(), x, k < tile.end);
}

// b[k, column..column+4], or where b is stored transposed b[k..k+4, column], in the same way.
fn matmul_b(tile: MatmulTile, column: u32, k: u32) -> vec4<f32> {
    var width = 1u;
    if VECTORS_B {
        width = 4u;
    }
    var x: vec4<f32>;
    if TRANSPOSED_B {
        let l = min(k, tile.end - width);
        x = matmul_b_vector(tile.b + min(column, sizes.n - 1u) * sizes.b_row + l, tile.end - l);
    } else {
        let j = min(column, sizes.n - width);
        x = matmul_b_vector(tile.b + min(k, tile.end - 1u) * sizes.b_row + j, sizes.n - j);
    }
    return select(vec4<f32>(), x, k < tile.end);
}

fn matmul_transpose(x: array<vec4<f32>, 4>) -> array<vec4<f32>, 4> {
    return array(
        vec4(x[0].x, x[1].x, x[2].x, x[3].x),
        vec4(x[0].y, x[1].y, x[2].y, x[3].y),
        vec4(x[0].z, x[1].z, x[2].z, x[3].z),
        vec4(x[0].w, x[1].w, x[2].w, x[3].w),
    );
}

// a[row..row+4, k + q] for q = 0, 1, 2, 3.
fn matmul_a_columns(tile: MatmulTile, row: u32, k: u32) -> array<vec4<f32>, 4> {
    if TRANSPOSED_A {
        return array(
            matmul_a(tile, row, k), matmul_a(tile, row, k + 1u), matmul_a(tile, row, k + 2u), matmul_a(tile, row, k + 3u));
    }
    return matmul_transpose(array(
        matmul_a(tile, row, k), matmul_a(tile, row + 1u, k), matmul_a(tile, row + 2u, k), matmul_a(tile, row + 3u, k)));
}

// b[k + q, column..column+4] for q = 0, 1, 2, 3.
fn matmul_b_rows(tile: MatmulTile, column: u32, k: u32) -> array<vec4<f32>, 4> {
    if !TRANSPOSED_B {
        return array(
            matmul_b(tile, column, k), matmul_b(tile, column, k + 1u), matmul_b(tile, column, k + 2u), matmul_b(tile, column, k + 3u));
    }
    return matmul_transpose(array(
        matmul_b(tile, column, k), matmul_b(tile, column + 1u, k), matmul_b(tile, column + 2u, k), matmul_b(tile, column + 3u, k)));
}

// Stores four neighbours of a row of y where they are inside.
fn matmul_store(tile: MatmulTile, row: u32, column: u32, sums: vec4<f32>) {
    if row >= sizes.m || column >= sizes.n {
        return;
    }
    let i = tile.y + row * sizes.y_row + column * sizes.y_column;
    if VECTORS_Y {
        store4(i, sums);
        return;
    }
    // Loops, here and below: drivers that inline every call then compile what is stored through once.
    for (var lane = 0u; lane < min(sizes.n - column, 4u); lane++) {
        store(i + lane * sizes.y_column, sums[lane]);
    }
}

// Stores the sums of four rows from `row` on, of four columns from `left` and four from `right` on.
fn matmul_store_block(tile: MatmulTile, row: u32, left: u32, right: u32, sums: Block) {
    var results = sums;
    for (var i = 0u; i < 8u; i++) {
        matmul_store(tile, row + i / 2u, select(left, right, i % 2u == 1u), results[i]);
    }
}

// The same where the sums move up and the length of the loop is not known: what is stored through is then compiled once
// and not eight times.
fn matmul_store_moving(tile: MatmulTile, row: u32, left: u32, right: u32, sums: Block) {
    var s = sums;
    for (var i = 0u; i < min(sizes.tile_rows, 8u); i++) {
        matmul_store(tile, row + i / 2u, select(left, right, i % 2u == 1u), s[0]);
        s = Block(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0]);
    }
}
