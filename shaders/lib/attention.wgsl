// y = softmax(scale·q·kᵀ + bias)·v, tile by tile with an online softmax (Dao et al. 2022), and its gradients.
// Rows are whole vectors of four. The importing file says how threads share a tile, `attention_scores` and `attention_accumulate`,
// how they hand it to each other, `attention_hand`, and how it lies in workgroup memory, `attention_of_tile` and `attention_to_tile`.
//#import block
//#import nan
//#import random

struct AttentionSizes {
    batches: u32,
    heads: u32,
    // Heads of q that share one of k and v.
    sharing: u32,
    scale: f32,
    queries: u32,
    keys: u32,
    width: u32,
    value_width: u32,
    // Elements from one batch, head and row to the next (and from one key to the next).
    q_step: vec4<u32>,
    k_step: vec4<u32>,
    v_step: vec4<u32>,
    y_step: vec4<u32>,
    bias_step: vec4<u32>,
    mask_step: vec4<u32>,
    // Where the seed and the step, the lengths and the mask lie in `words`.
    seed: u32,
    lengths: u32,
    mask: u32,
    // How many of 2¹⁶ numbers keep a weight, what kept ones are multiplied by, and the stream they are drawn from.
    keep: u32,
    keep_scale: f32,
    stream: u32,
    // The shape of the bias, and the parts its gradient is summed in.
    bias_batches: u32,
    bias_heads: u32,
    bias_queries: u32,
    parts: u32,
    // BLOCKS again: drivers unroll loops whose length they know, and take minutes to compile them.
    blocks: u32,
    // Which of the following there are.
    flags: u32,
    // Of a part of the batches or heads: the first head among all, the heads of a whole batch, and all rows.
    first: u32,
    all_heads: u32,
    all_rows: u32,
}

const CAUSAL = 1u;
// The last query, and not the first, stands beside the last, and not the first, key.
const FROM_END = 2u;
const LENGTHS = 4u;
const BIAS = 8u;
const MASK = 16u;

@group(0) @binding(0) var<storage, read> q: array<vec4<real>>; // [B, H, Tq, D]
@group(0) @binding(1) var<storage, read> k: array<vec4<real>>; // [B, H / sharing, Tk, D]
@group(0) @binding(2) var<storage, read> v: array<vec4<real>>; // [B, H / sharing, Tk, Dv]
@group(0) @binding(3) var<storage, read> dy: array<vec4<real>>; // [B, H, Tq, Dv]
@group(0) @binding(4) var<storage, read> bias: array<real>; // [B | 1, H | 1, Tq | 1, Tk]
// Backward first log Σ exp and Σ dy·y of each row, as bits; then seed and step, lengths [B], mask [B | 1, H | 1, Tq | 1, Tk | 1].
@group(0) @binding(5) var<storage, read> words: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<real>>; // [B, H, Tq, Dv]
@group(0) @binding(7) var<storage, read_write> lse: array<f32>; // [B, H, Tq]
@group(0) @binding(6) var<storage, read_write> dq: array<vec4<real>>; // as q
@group(0) @binding(6) var<storage, read_write> dk: array<vec4<real>>; // as k
@group(0) @binding(7) var<storage, read_write> dv: array<vec4<real>>; // as v
@group(0) @binding(6) var<storage, read_write> dbias: array<f32>; // [parts, as bias]
@group(0) @binding(8) var<uniform> sizes: AttentionSizes;

// Whether there is a bias or a mask.
override EXTRAS: bool = false;
override DROPOUT: bool = false;
// Blocks of four rows and eight columns that a thread holds: 1 or 4.
override BLOCKS: u32 = 1u;

// Columns of a tile.
const ATTENTION_SIDE = 64u;
// The log Σ exp of a row that sees no key: every exp(s − it) is 0.
const NO_KEYS = 3.402823e38;
const LEAST = -3.4e38;

// What `attention_load` reads.
const Q = 0u;
const K = 1u;
const V = 2u;
const DY = 3u;

// The blocks of a thread, one below the other.
struct AttentionTile {
    a: Block,
    b: Block,
    c: Block,
    d: Block,
}

// Rows of one head: the first element, the elements from row to row, how many rows there are, and how long they are.
struct AttentionRows {
    first: u32,
    step: u32,
    count: u32,
    width: u32,
}

// Where a thread stands in a tile: its first row, its neighbours to the left, and the columns of its two vectors.
struct AttentionThread {
    row: u32,
    across: u32,
    left: u32,
    right: u32,
}

// One head of one batch.
struct AttentionHead {
    number: u32,
    q: AttentionRows,
    k: AttentionRows,
    v: AttentionRows,
    y: AttentionRows,
    bias: u32,
    mask: u32,
    // The keys there are, and what a causal mask adds to keys and to queries before it compares them.
    length: u32,
    key_shift: u32,
    query_shift: u32,
}

var<private> thread: AttentionThread;

// [thread across, row / 4]
var<workgroup> attention_parts: array<vec4<f32>, 8u * ATTENTION_ROWS / 4u>;

// The rows before `end`: where a load goes past them it gets the last again, whose weight is 0 there.
fn attention_before(rows: AttentionRows, end: u32) -> AttentionRows {
    return AttentionRows(rows.first, rows.step, end, rows.width);
}

// Rows of a tile that threads hold.
fn attention_height() -> u32 {
    return ATTENTION_ROWS / 4u * BLOCKS / ATTENTION_BLOCKS * 4u;
}

// The number of tiles that cover so many rows.
fn attention_tiles(rows: u32) -> u32 {
    return (rows + attention_height() - 1u) / attention_height();
}

// A head of a batch. All threads call it.
// It is a value that functions hand on: browsers take what a private variable holds for different in each thread.
fn attention_head(number: u32, index: u32) -> AttentionHead {
    let batch = number / sizes.heads;
    let of_q = number % sizes.heads;
    let of_k = of_q / sizes.sharing;
    var head: AttentionHead;
    head.number = number;
    head.q = AttentionRows(batch * sizes.q_step.x + of_q * sizes.q_step.y, sizes.q_step.z, sizes.queries, sizes.width);
    head.k = AttentionRows(batch * sizes.k_step.x + of_k * sizes.k_step.y, sizes.k_step.z, sizes.keys, sizes.width);
    head.v = AttentionRows(batch * sizes.v_step.x + of_k * sizes.v_step.y, sizes.v_step.z, sizes.keys, sizes.value_width);
    head.y = AttentionRows(batch * sizes.y_step.x + of_q * sizes.y_step.y, sizes.y_step.z, sizes.queries, sizes.value_width);
    head.bias = batch * sizes.bias_step.x + of_q * sizes.bias_step.y;
    let among_all = sizes.first + number;
    head.mask = sizes.mask + among_all / sizes.all_heads * sizes.mask_step.x + among_all % sizes.all_heads * sizes.mask_step.y;
    head.length = sizes.keys;
    if (sizes.flags & LENGTHS) != 0u {
        head.length = min(attention_same(words[sizes.lengths + among_all / sizes.all_heads], index), sizes.keys);
    }
    head.key_shift = 0u;
    // Every key is before this.
    head.query_shift = 0x80000000u;
    if (sizes.flags & CAUSAL) != 0u {
        head.query_shift = 0u;
    }
    if (sizes.flags & FROM_END) != 0u {
        head.key_shift = sizes.queries;
        head.query_shift = head.length;
    }
    return head;
}

// The keys that some query before `query` sees are those before this one.
fn attention_end(head: AttentionHead, query: u32) -> u32 {
    let shifted = min(query, sizes.queries) + head.query_shift;
    return min(head.length, shifted - min(shifted, head.key_shift));
}

// The first query that sees key `key`, or `queries` where none does.
fn attention_begin(head: AttentionHead, key: u32) -> u32 {
    if key >= head.length {
        return sizes.queries;
    }
    let shifted = key + head.key_shift;
    return min(sizes.queries, shifted - min(shifted, head.query_shift));
}

// Four neighbours in a row from a column on: some numbers past the last row and column.
fn attention_load(source: u32, rows: AttentionRows, row: u32, column: u32) -> vec4<f32> {
    let i = (rows.first + min(row, rows.count - 1u) * rows.step + min(column, rows.width - 4u)) / 4u;
    var x: vec4<real>;
    if source == Q {
        x = q[i];
    } else if source == K {
        x = k[i];
    } else if source == V {
        x = v[i];
    } else {
        x = dy[i];
    }
    return vec4<f32>(x);
}

// Four rows of four neighbours.
fn attention_square(source: u32, rows: AttentionRows, row: u32, column: u32) -> array<vec4<f32>, 4> {
    return array(
        attention_load(source, rows, row, column), attention_load(source, rows, row + 1u, column),
        attention_load(source, rows, row + 2u, column), attention_load(source, rows, row + 3u, column));
}

// Four rows of four neighbours of the tile that the workgroup shares.
fn attention_square_of_tile(row: u32, column: u32) -> array<vec4<f32>, 4> {
    let at = row * 16u + column / 4u;
    return array(attention_of_tile(at), attention_of_tile(at + 16u), attention_of_tile(at + 32u), attention_of_tile(at + 48u));
}

fn attention_turned(x: array<vec4<f32>, 4>) -> array<vec4<f32>, 4> {
    return array(
        vec4(x[0].x, x[1].x, x[2].x, x[3].x),
        vec4(x[0].y, x[1].y, x[2].y, x[3].y),
        vec4(x[0].z, x[1].z, x[2].z, x[3].z),
        vec4(x[0].w, x[1].w, x[2].w, x[3].w),
    );
}

// The tile with `block` as its last, what was second as its first: loops go through the blocks without indexing them.
fn attention_next(tile: AttentionTile, block: Block) -> AttentionTile {
    if BLOCKS == 4u {
        return AttentionTile(tile.b, tile.c, tile.d, block);
    }
    return AttentionTile(block, tile.b, tile.c, tile.d);
}

// The same for one number per row.
fn attention_next_rows(rows: mat4x4<f32>, x: vec4<f32>) -> mat4x4<f32> {
    if BLOCKS == 4u {
        return mat4x4<f32>(rows[1], rows[2], rows[3], x);
    }
    return mat4x4<f32>(x, rows[1], rows[2], rows[3]);
}

// What a score counts in the softmax: −∞ where the query does not see the key.
fn attention_logit(head: AttentionHead, score: vec4<f32>, row: u32, column: u32, keys_down: bool) -> vec4<f32> {
    let across = column + vec4(0u, 1u, 2u, 3u);
    let query = select(vec4(row), across, keys_down);
    let key = select(across, vec4(row), keys_down);
    var logit = score * sizes.scale;
    var sees = (query < vec4(sizes.queries)) & (key < vec4(head.length));
    sees &= key + head.key_shift <= query + head.query_shift;
    if !EXTRAS {
        return select(vec4(-infinity()), logit, sees);
    }
    // Indices that exist, of numbers that count only where they are the element's own.
    let i = min(query, vec4(sizes.queries - 1u));
    let j = min(key, vec4(sizes.keys - 1u));
    if (sizes.flags & BIAS) != 0u {
        let at = head.bias + i * sizes.bias_step.z + j * sizes.bias_step.w;
        logit += vec4<f32>(vec4(bias[at.x], bias[at.y], bias[at.z], bias[at.w]));
    }
    if (sizes.flags & MASK) != 0u {
        let at = head.mask + i * sizes.mask_step.z + j * sizes.mask_step.w;
        sees &= vec4(words[at.x], words[at.y], words[at.z], words[at.w]) != vec4(0u);
    }
    return select(vec4(-infinity()), logit, sees);
}

// The scores of a block as logits: four rows from `row` on, four columns from `left` and four from `right` on.
fn attention_logits(head: AttentionHead, s: Block, row: u32, left: u32, right: u32, keys_down: bool) -> Block {
    return Block(
        attention_logit(head, s[0], row, left, keys_down), attention_logit(head, s[1], row, right, keys_down),
        attention_logit(head, s[2], row + 1u, left, keys_down), attention_logit(head, s[3], row + 1u, right, keys_down),
        attention_logit(head, s[4], row + 2u, left, keys_down), attention_logit(head, s[5], row + 2u, right, keys_down),
        attention_logit(head, s[6], row + 3u, left, keys_down), attention_logit(head, s[7], row + 3u, right, keys_down));
}

// exp(s − m), exactly 0 where it is too small for a number: drivers' exp may not be.
fn attention_exp(s: vec4<f32>, m: vec4<f32>) -> vec4<f32> {
    let x = s - m;
    let is_nan = (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    return select(select(exp(x), vec4<f32>(), x < vec4(-87.0)), x, is_nan);
}

// What dropout multiplies four rows of weights by, from `row` and `column` on, both multiples of four.
// Four queries and four keys share two draws: half h of word w of draw c is for query w and key 2c + h.
fn attention_kept(head: AttentionHead, row: u32, column: u32, keys_down: bool) -> array<vec4<f32>, 4> {
    let query = select(row, column, keys_down) / 4u;
    let key = select(column, row, keys_down) / 4u;
    // The last counter word sets these words apart from those of initial values and of other dropout.
    let counter = vec4((sizes.first + head.number) * ((sizes.queries + 3u) / 4u) + query, sizes.stream, words[sizes.seed + 2u], key * 2u | 0x80000000u);
    let seed = vec2(words[sizes.seed], words[sizes.seed + 1u]);
    let first = philox(counter, seed);
    let second = philox(counter + vec4(0u, 0u, 0u, 1u), seed);
    let kept = array(
        attention_factor(first & vec4(0xffffu)), attention_factor(first >> vec4(16u)),
        attention_factor(second & vec4(0xffffu)), attention_factor(second >> vec4(16u)));
    if keys_down {
        return kept;
    }
    return attention_turned(kept);
}

fn attention_factor(drawn: vec4<u32>) -> vec4<f32> {
    return select(vec4<f32>(), vec4(sizes.keep_scale), drawn < vec4(sizes.keep));
}

// The block with dropout.
fn attention_dropped(head: AttentionHead, p: Block, row: u32, left: u32, right: u32, keys_down: bool) -> Block {
    if !DROPOUT {
        return p;
    }
    let l = attention_kept(head, row, left, keys_down);
    let r = attention_kept(head, row, right, keys_down);
    return Block(
        p[0] * l[0], p[1] * r[0], p[2] * l[1], p[3] * r[1], p[4] * l[2], p[5] * r[2], p[6] * l[3], p[7] * r[3]);
}

// Puts a block into the tile that the workgroup shares.
fn attention_share(block: Block, row: u32) {
    let at = row * 16u + thread.left / 4u;
    let right = (thread.right - thread.left) / 4u;
    attention_to_tile(at, block[0]);
    attention_to_tile(at + right, block[1]);
    attention_to_tile(at + 16u, block[2]);
    attention_to_tile(at + 16u + right, block[3]);
    attention_to_tile(at + 32u, block[4]);
    attention_to_tile(at + 32u + right, block[5]);
    attention_to_tile(at + 48u, block[6]);
    attention_to_tile(at + 48u + right, block[7]);
}

fn attention_part(across: u32, row: u32) -> u32 {
    return across * (ATTENTION_ROWS / 4u) + row / 4u;
}

// The largest, or the sum, of two vectors for each of four rows.
fn attention_largest(s: Block) -> vec4<f32> {
    let a = max(s[0], s[1]);
    let b = max(s[2], s[3]);
    let c = max(s[4], s[5]);
    let d = max(s[6], s[7]);
    let x = attention_turned(array(a, b, c, d));
    return max(max(x[0], x[1]), max(x[2], x[3]));
}

fn attention_sums(s: Block) -> vec4<f32> {
    let x = attention_turned(array(s[0] + s[1], s[2] + s[3], s[4] + s[5], s[6] + s[7]));
    return (x[0] + x[1]) + (x[2] + x[3]);
}

// y and log Σ exp of some rows of a head, and 64 columns.
fn attention_forward(group: u32, index: u32) {
    let columns = (sizes.value_width + ATTENTION_SIDE - 1u) / ATTENTION_SIDE;
    let tiles = attention_tiles(sizes.queries);
    let first = group / columns % tiles * attention_height();
    let column = group % columns * ATTENTION_SIDE;
    let number = group / columns / tiles;
    if number >= sizes.batches * sizes.heads {
        return;
    }
    let head = attention_head(number, index);
    let end = attention_end(head, first + attention_height());
    var sums = AttentionTile();
    var largest = mat4x4<f32>(vec4(-infinity()), vec4(-infinity()), vec4(-infinity()), vec4(-infinity()));
    // Each thread adds up the weights of its own columns.
    var weight = mat4x4<f32>();
    for (var key = 0u; key < end; key += ATTENTION_SIDE) {
        var s = attention_scores(Q, head.q, first, K, head.k, key, index);
        for (var n = 0u; n < sizes.blocks; n++) {
            let row = thread.row + 4u * n;
            let logits = attention_logits(head, s.a, first + row, key + thread.left, key + thread.right, false);
            attention_parts[attention_part(thread.across, row)] = attention_largest(logits);
            s = attention_next(s, logits);
        }
        attention_wait();
        for (var n = 0u; n < sizes.blocks; n++) {
            let row = thread.row + 4u * n;
            var m = largest[0];
            for (var i = 0u; i < 8u; i++) {
                m = max(m, attention_parts[attention_part(i, row)]);
            }
            // Where nothing was seen yet all weights are 0 by any maximum.
            let base = select(m, vec4<f32>(), m < vec4(LEAST));
            let shrink = attention_exp(largest[0], base);
            let p = Block(
                attention_exp(s.a[0], base.xxxx), attention_exp(s.a[1], base.xxxx),
                attention_exp(s.a[2], base.yyyy), attention_exp(s.a[3], base.yyyy),
                attention_exp(s.a[4], base.zzzz), attention_exp(s.a[5], base.zzzz),
                attention_exp(s.a[6], base.wwww), attention_exp(s.a[7], base.wwww));
            attention_hand(attention_dropped(head, p, first + row, key + thread.left, key + thread.right, false), row);
            let o = sums.a;
            sums = attention_next(sums, Block(
                o[0] * shrink.x, o[1] * shrink.x, o[2] * shrink.y, o[3] * shrink.y,
                o[4] * shrink.z, o[5] * shrink.z, o[6] * shrink.w, o[7] * shrink.w));
            largest = attention_next_rows(largest, m);
            weight = attention_next_rows(weight, weight[0] * shrink + attention_sums(p));
            s = attention_next(s, p);
        }
        attention_wait();
        sums = attention_accumulate(sums, V, attention_before(head.v, end), key, column, index);
        attention_wait();
    }

    for (var n = 0u; n < sizes.blocks; n++) {
        attention_parts[attention_part(thread.across, thread.row + 4u * n)] = weight[0];
        weight = attention_next_rows(weight, weight[0]);
    }
    attention_wait();
    for (var n = 0u; n < sizes.blocks; n++) {
        let row = thread.row + 4u * n;
        var total = vec4<f32>();
        for (var i = 0u; i < 8u; i++) {
            total += attention_parts[attention_part(i, row)];
        }
        let m = largest[0];
        let share = select(1.0 / total, vec4<f32>(), total == vec4<f32>());
        var block = sums.a;
        for (var r = 0u; r < 4u; r++) {
            let query = first + row + r;
            if query >= sizes.queries {
                continue;
            }
            for (var half = 0u; half < 2u; half++) {
                let c = column + select(thread.left, thread.right, half == 1u);
                if c < sizes.value_width {
                    y[(head.y.first + query * head.y.step + c) / 4u] = vec4<real>(block[2u * r + half] * share[r]);
                }
            }
            if thread.across == 0u && column == 0u {
                let log = keep_nan(total[r], m[r] + log(total[r]));
                lse[number * sizes.queries + query] = select(log, NO_KEYS, total[r] == 0.0);
            }
        }
        sums = attention_next(sums, block);
        largest = attention_next_rows(largest, m);
    }
}

// log Σ exp or Σ dy·y of four queries.
fn attention_stat(head: AttentionHead, which: u32, query: u32) -> vec4<f32> {
    let at = which * sizes.all_rows + (sizes.first + head.number) * sizes.queries + min(query + vec4(0u, 1u, 2u, 3u), vec4(sizes.queries - 1u));
    return bitcast<vec4<f32>>(vec4(words[at.x], words[at.y], words[at.z], words[at.w]));
}

// The r-th of four numbers for a row of queries, all four for a row of keys.
fn attention_of(x: vec4<f32>, r: u32, keys_down: bool) -> vec4<f32> {
    return select(vec4(x[r]), x, keys_down);
}

// Weights, after dropout, and the gradients of the logits.
struct AttentionSlopes {
    weights: Block,
    slopes: Block,
}

// ds = p·(dp − Σ dy·y), 0 where nothing is seen whatever dp is.
fn attention_slope(s: vec4<f32>, p: vec4<f32>, dp: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return select(p * (dp - sum), vec4<f32>(), s < vec4(LEAST));
}

// From scores and the gradients dp = dy·vᵀ of the weights.
fn attention_slopes(head: AttentionHead, scores: Block, dp: Block, row: u32, left: u32, right: u32, keys_down: bool) -> AttentionSlopes {
    let s = attention_logits(head, scores, row, left, right, keys_down);
    let at_left = select(row, left, keys_down);
    let at_right = select(row, right, keys_down);
    let ml = attention_stat(head, 0u, at_left);
    let mr = attention_stat(head, 0u, at_right);
    let p = Block(
        attention_exp(s[0], attention_of(ml, 0u, keys_down)), attention_exp(s[1], attention_of(mr, 0u, keys_down)),
        attention_exp(s[2], attention_of(ml, 1u, keys_down)), attention_exp(s[3], attention_of(mr, 1u, keys_down)),
        attention_exp(s[4], attention_of(ml, 2u, keys_down)), attention_exp(s[5], attention_of(mr, 2u, keys_down)),
        attention_exp(s[6], attention_of(ml, 3u, keys_down)), attention_exp(s[7], attention_of(mr, 3u, keys_down)));
    let sl = attention_stat(head, 1u, at_left);
    let sr = attention_stat(head, 1u, at_right);
    let g = attention_dropped(head, dp, row, left, right, keys_down);
    let ds = Block(
        attention_slope(s[0], p[0], g[0], attention_of(sl, 0u, keys_down)), attention_slope(s[1], p[1], g[1], attention_of(sr, 0u, keys_down)),
        attention_slope(s[2], p[2], g[2], attention_of(sl, 1u, keys_down)), attention_slope(s[3], p[3], g[3], attention_of(sr, 1u, keys_down)),
        attention_slope(s[4], p[4], g[4], attention_of(sl, 2u, keys_down)), attention_slope(s[5], p[5], g[5], attention_of(sr, 2u, keys_down)),
        attention_slope(s[6], p[6], g[6], attention_of(sl, 3u, keys_down)), attention_slope(s[7], p[7], g[7], attention_of(sr, 3u, keys_down)));
    return AttentionSlopes(attention_dropped(head, p, row, left, right, keys_down), ds);
}

// dq = scale·ds·k for some rows of a head, and 64 columns.
fn attention_backward_q(group: u32, index: u32) {
    let columns = (sizes.width + ATTENTION_SIDE - 1u) / ATTENTION_SIDE;
    let tiles = attention_tiles(sizes.queries);
    let first = group / columns % tiles * attention_height();
    let column = group % columns * ATTENTION_SIDE;
    let number = group / columns / tiles;
    if number >= sizes.batches * sizes.heads {
        return;
    }
    let head = attention_head(number, index);
    let end = attention_end(head, first + attention_height());
    var sums = AttentionTile();
    for (var key = 0u; key < end; key += ATTENTION_SIDE) {
        var s = attention_scores(Q, head.q, first, K, head.k, key, index);
        var dp = attention_scores(DY, head.y, first, V, head.v, key, index);
        for (var n = 0u; n < sizes.blocks; n++) {
            let row = thread.row + 4u * n;
            let block = attention_slopes(head, s.a, dp.a, first + row, key + thread.left, key + thread.right, false);
            attention_hand(block.slopes, row);
            s = attention_next(s, s.a);
            dp = attention_next(dp, dp.a);
        }
        attention_wait();
        sums = attention_accumulate(sums, K, attention_before(head.k, end), key, column, index);
        attention_wait();
    }
    for (var n = 0u; n < sizes.blocks; n++) {
        var block = sums.a;
        for (var r = 0u; r < 8u; r++) {
            let query = first + thread.row + 4u * n + r / 2u;
            let c = column + select(thread.left, thread.right, r % 2u == 1u);
            if query < sizes.queries && c < sizes.width {
                dq[(head.q.first + query * head.q.step + c) / 4u] = vec4<real>(block[r] * sizes.scale);
            }
        }
        sums = attention_next(sums, block);
    }
}

// dk = scale·dsᵀ·q and dv = pᵀ·dy for some rows of a head of k and v, and 64 columns of each.
fn attention_backward_kv(group: u32, index: u32) {
    let columns = (max(sizes.width, sizes.value_width) + ATTENTION_SIDE - 1u) / ATTENTION_SIDE;
    let tiles = attention_tiles(sizes.keys);
    let first = group / columns % tiles * attention_height();
    let column = group % columns * ATTENTION_SIDE;
    let number = group / columns / tiles * sizes.sharing;
    if number >= sizes.batches * sizes.heads {
        return;
    }
    var dk_sums = AttentionTile();
    var dv_sums = AttentionTile();
    var head: AttentionHead;
    for (var member = 0u; member < sizes.sharing; member++) {
        head = attention_head(number + member, index);
        for (var query = attention_begin(head, first) / ATTENTION_SIDE * ATTENTION_SIDE; query < sizes.queries; query += ATTENTION_SIDE) {
            var s = attention_scores(K, head.k, first, Q, head.q, query, index);
            var dp = attention_scores(V, head.v, first, DY, head.y, query, index);
            for (var n = 0u; n < sizes.blocks; n++) {
                let row = thread.row + 4u * n;
                let block = attention_slopes(head, s.a, dp.a, first + row, query + thread.left, query + thread.right, true);
                attention_hand(block.weights, row);
                s = attention_next(s, s.a);
                dp = attention_next(dp, block.slopes);
            }
            attention_wait();
            dv_sums = attention_accumulate(dv_sums, DY, head.y, query, column, index);
            attention_wait();
            for (var n = 0u; n < sizes.blocks; n++) {
                attention_hand(dp.a, thread.row + 4u * n);
                dp = attention_next(dp, dp.a);
            }
            attention_wait();
            dk_sums = attention_accumulate(dk_sums, Q, head.q, query, column, index);
            attention_wait();
        }
    }
    for (var n = 0u; n < sizes.blocks; n++) {
        var of_k = dk_sums.a;
        var of_v = dv_sums.a;
        for (var r = 0u; r < 8u; r++) {
            let key = first + thread.row + 4u * n + r / 2u;
            let c = column + select(thread.left, thread.right, r % 2u == 1u);
            if key < sizes.keys && c < sizes.width {
                dk[(head.k.first + key * head.k.step + c) / 4u] = vec4<real>(of_k[r] * sizes.scale);
            }
            if key < sizes.keys && c < sizes.value_width {
                dv[(head.v.first + key * head.v.step + c) / 4u] = vec4<real>(of_v[r]);
            }
        }
        dk_sums = attention_next(dk_sums, of_k);
        dv_sums = attention_next(dv_sums, of_v);
    }
}

// dbias = ds, summed in order over what the bias was repeated along, for some rows and 64 keys.
fn attention_backward_bias(group: u32, index: u32) {
    let across = (sizes.keys + ATTENTION_SIDE - 1u) / ATTENTION_SIDE;
    let tiles = attention_tiles(sizes.queries);
    let down = select(1u, tiles, sizes.bias_queries > 1u);
    let key = group % across * ATTENTION_SIDE;
    let tile = group / across % down;
    let of_bias = group / across / down % (sizes.bias_batches * sizes.bias_heads);
    let part = group / across / down / (sizes.bias_batches * sizes.bias_heads);
    if part >= sizes.parts {
        return;
    }
    // How many batches, heads and tiles are summed.
    let heads = sizes.heads / sizes.bias_heads;
    let rest = heads * (tiles / down);
    let count = sizes.batches / sizes.bias_batches * rest;
    let each = (count + sizes.parts - 1u) / sizes.parts;
    var sums = AttentionTile();
    for (var i = part * each; i < min(count, part * each + each); i++) {
        let batch = of_bias / sizes.bias_heads + i / rest;
        let head = attention_head(batch * sizes.heads + of_bias % sizes.bias_heads + i % rest % heads, index);
        let first = (tile + i % rest / heads) * attention_height();
        if key >= attention_end(head, first + attention_height()) {
            continue;
        }
        var s = attention_scores(Q, head.q, first, K, head.k, key, index);
        var dp = attention_scores(DY, head.y, first, V, head.v, key, index);
        for (var n = 0u; n < sizes.blocks; n++) {
            let row = first + thread.row + 4u * n;
            let x = attention_slopes(head, s.a, dp.a, row, key + thread.left, key + thread.right, false).slopes;
            let old = sums.a;
            sums = attention_next(sums, Block(
                old[0] + x[0], old[1] + x[1], old[2] + x[2], old[3] + x[3],
                old[4] + x[4], old[5] + x[5], old[6] + x[6], old[7] + x[7]));
            s = attention_next(s, s.a);
            dp = attention_next(dp, dp.a);
        }
    }
    attention_wait();
    for (var n = 0u; n < sizes.blocks; n++) {
        attention_share(sums.a, thread.row + 4u * n);
        sums = attention_next(sums, sums.a);
    }
    attention_wait();
    let start = (part * sizes.bias_batches * sizes.bias_heads + of_bias) * sizes.bias_queries;
    for (var c = index; c < min(ATTENTION_SIDE, sizes.keys - key); c += ATTENTION_THREADS) {
        var sum = 0.0;
        for (var r = 0u; r < attention_height(); r++) {
            let x = attention_of_tile(r * 16u + c / 4u)[c % 4u];
            let query = tile * attention_height() + r;
            if sizes.bias_queries == 1u {
                sum += x;
            } else if query < sizes.queries {
                dbias[(start + query) * sizes.keys + key + c] = x;
            }
        }
        if sizes.bias_queries == 1u {
            dbias[start * sizes.keys + key + c] = sum;
        }
    }
}
