// Tiles of attention held by eight threads side by side, each with all rows and eight columns, without memory that
// they share but for the weights. The importing file defines `attention_left` and `attention_left_of_tile`: eight rows
// of four numbers of the left factor, as columns.
const ATTENTION_THREADS = 8u;
const ATTENTION_ROWS = 16u;
const ATTENTION_BLOCKS = 4u;

// Four columns of eight rows.
struct AttentionColumns {
    top: array<vec4<f32>, 4>,
    bottom: array<vec4<f32>, 4>,
}

fn attention_stand(index: u32) {
    thread = AttentionThread(0u, index, 8u * index, 8u * index + 4u);
}

// a·bᵀ for the rows of a from `row` on and those of b from `column` on.
fn attention_scores(
    of_a: u32, a: AttentionRows, row: u32, of_b: u32, b: AttentionRows, column: u32, index: u32,
) -> AttentionTile {
    var s0 = Block();
    var s1 = Block();
    var s2 = Block();
    var s3 = Block();
    for (var d = 0u; d < a.width; d += 4u) {
        let left = attention_turned(attention_square(of_b, b, column + thread.left, d));
        let right = attention_turned(attention_square(of_b, b, column + thread.right, d));
        let upper = attention_left(of_a, a, row, d);
        block_add_square(&s0, upper.top, left, right);
        if BLOCKS > 1u {
            block_add_square(&s1, upper.bottom, left, right);
            let lower = attention_left(of_a, a, row + 8u, d);
            block_add_square(&s2, lower.top, left, right);
            block_add_square(&s3, lower.bottom, left, right);
        }
    }
    return AttentionTile(s0, s1, s2, s3);
}

// sums + tile·b for the rows of b from `row` on, and its columns from `column` on.
fn attention_accumulate(
    sums: AttentionTile, of_b: u32, b: AttentionRows, row: u32, column: u32, index: u32,
) -> AttentionTile {
    var s0 = sums.a;
    var s1 = sums.b;
    var s2 = sums.c;
    var s3 = sums.d;
    for (var l = 0u; l < min(ATTENTION_SIDE, b.count - row); l += 4u) {
        let left = attention_square(of_b, b, row + l, column + thread.left);
        let right = attention_square(of_b, b, row + l, column + thread.right);
        let upper = attention_left_of_tile(0u, l);
        block_add_square(&s0, upper.top, left, right);
        if BLOCKS > 1u {
            block_add_square(&s1, upper.bottom, left, right);
            let lower = attention_left_of_tile(8u, l);
            block_add_square(&s2, lower.top, left, right);
            block_add_square(&s3, lower.bottom, left, right);
        }
    }
    return AttentionTile(s0, s1, s2, s3);
}
