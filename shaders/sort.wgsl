// order[r, ·] sorts keys[r, ·]: a stable radix sort, one digit in each pass, the lowest first.
//#import index

struct Sizes {
    rows: u32,
    n: u32,
    // Blocks of a row, and elements of each.
    blocks: u32,
    length: u32,
    // The lowest bit of the digit.
    shift: u32,
    // Keys: all bits where the order is descending.
    invert: u32,
    // Keys: the low bits that are the same in all.
    drop: u32,
}

@group(0) @binding(0) var<storage, read> x: array<real>; // [rows, n]
@group(0) @binding(1) var<storage, read> x_index: array<u32>; // the same of indices
@group(0) @binding(2) var<storage, read> keys: array<u32>; // [rows, n]
// In the first pass the order is that of the elements, and this is not read.
@group(0) @binding(3) var<storage, read> order: array<u32>; // [rows, n]
@group(0) @binding(4) var<storage, read> starts: array<u32>; // [rows, DIGITS, blocks]
@group(0) @binding(5) var<storage, read> totals: array<u32>; // [rows, DIGITS]
@group(0) @binding(6) var<storage, read_write> counts: array<u32>; // [rows, DIGITS, blocks]
@group(0) @binding(7) var<storage, read_write> totals_found: array<u32>; // [rows, DIGITS]
@group(0) @binding(8) var<storage, read_write> keys_sorted: array<u32>; // [rows, n]
@group(0) @binding(9) var<storage, read_write> order_sorted: array<u32>; // [rows, n]
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Values a digit has.
override DIGITS: u32 = 256u;
override FIRST: bool = false;

// A number that compares as a float does: −0 = 0, NaN above all others and equal to itself.
fn key_of(bits: u32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u && magnitude != 0u);
    return select(key, 0xffffffffu, magnitude > 0x7f800000u);
}

const KEYS = 4u;

@compute @workgroup_size(64)
fn find_keys(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * KEYS;
    for (var i = first; i < min(first + KEYS, sizes.rows * sizes.n); i++) {
        keys_sorted[i] = (key_of(bitcast<u32>(f32(x[i]))) ^ sizes.invert) >> sizes.drop;
    }
}

@compute @workgroup_size(64)
fn find_index_keys(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * KEYS;
    for (var i = first; i < min(first + KEYS, sizes.rows * sizes.n); i++) {
        keys_sorted[i] = x_index[i] ^ sizes.invert;
    }
}

// Short rows: an element stands behind all that are smaller, or as large and earlier.
@compute @workgroup_size(64)
fn rank(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 64u + thread;
    if i >= sizes.rows * sizes.n {
        return;
    }
    let begin = i / sizes.n * sizes.n;
    let own = keys[i];
    var place = 0u;
    for (var k = begin; k < begin + sizes.n; k++) {
        let other = keys[k];
        place += select(0u, 1u, other < own || (other == own && k < i));
    }
    order_sorted[begin + place] = i - begin;
}

// Rows of at most WIDTH elements: as many as fit are sorted in workgroup memory, by Batcher's bitonic network (1968).
// Equal keys compare by where they were; what fills a row up comes last.

const SLOTS = 1024u;
override WIDTH: u32 = 1024u;
var<workgroup> slot_keys: array<u32, SLOTS>;
var<workgroup> slot_orders: array<u32, SLOTS>;

@compute @workgroup_size(256)
fn network(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = workgroup_index(group, groups) * (SLOTS / WIDTH);
    for (var s = thread; s < SLOTS; s += 256u) {
        let row = first + s / WIDTH;
        let k = s % WIDTH;
        var key = 0xffffffffu;
        if k < sizes.n && row < sizes.rows {
            key = keys[row * sizes.n + k];
        }
        slot_keys[s] = key;
        slot_orders[s] = k;
    }
    workgroupBarrier();
    for (var size = 2u; size <= WIDTH; size *= 2u) {
        for (var reach = size / 2u; reach > 0u; reach /= 2u) {
            for (var pair = thread; pair < SLOTS / 2u; pair += 256u) {
                let a = pair / reach * 2u * reach + pair % reach;
                let b = a + reach;
                let swapped = slot_keys[b] < slot_keys[a]
                    || (slot_keys[b] == slot_keys[a] && slot_orders[b] < slot_orders[a]);
                let descends = ((a % WIDTH) & size) != 0u;
                if swapped != descends {
                    let key = slot_keys[a];
                    let place = slot_orders[a];
                    slot_keys[a] = slot_keys[b];
                    slot_orders[a] = slot_orders[b];
                    slot_keys[b] = key;
                    slot_orders[b] = place;
                }
            }
            workgroupBarrier();
        }
    }
    for (var s = thread; s < SLOTS; s += 256u) {
        let row = first + s / WIDTH;
        if s % WIDTH < sizes.n && row < sizes.rows {
            order_sorted[row * sizes.n + s % WIDTH] = slot_orders[s];
        }
    }
}

fn digit_of(key: u32) -> u32 {
    return (key >> sizes.shift) & (DIGITS - 1u);
}

// A thread for each block.

const MOST_DIGITS = 256u;
var<private> digits: array<u32, MOST_DIGITS>;

struct Block {
    row: u32,
    number: u32,
    begin: u32,
    end: u32,
}

fn block_of(number: u32) -> Block {
    let row = number / sizes.blocks;
    let block = number - row * sizes.blocks;
    let begin = block * sizes.length;
    return Block(row, block, row * sizes.n + begin, row * sizes.n + min(begin + sizes.length, sizes.n));
}

@compute @workgroup_size(64)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    if block.row >= sizes.rows {
        return;
    }
    for (var i = block.begin; i < block.end; i++) {
        digits[digit_of(keys[i])] += 1u;
    }
    for (var d = 0u; d < DIGITS; d++) {
        counts[(block.row * DIGITS + d) * sizes.blocks + block.number] = digits[d];
    }
}

@compute @workgroup_size(64)
fn scatter(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    if block.row >= sizes.rows {
        return;
    }
    var start = block.row * sizes.n;
    for (var d = 0u; d < DIGITS; d++) {
        digits[d] = start + starts[(block.row * DIGITS + d) * sizes.blocks + block.number];
        start += totals[block.row * DIGITS + d];
    }
    for (var i = block.begin; i < block.end; i++) {
        let key = keys[i];
        let to = digits[digit_of(key)];
        digits[digit_of(key)] = to + 1u;
        keys_sorted[to] = key;
        order_sorted[to] = select(order[i], i - block.row * sizes.n, FIRST);
    }
}

// Where each block's elements of a digit begin: a thread adds up the counts of all blocks.
@compute @workgroup_size(64)
fn scan(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row >= sizes.rows * DIGITS {
        return;
    }
    var total = 0u;
    for (var i = row * sizes.blocks; i < (row + 1u) * sizes.blocks; i++) {
        let found = counts[i];
        counts[i] = total;
        total += found;
    }
    totals_found[row] = total;
}

// A workgroup for each block of 256 · ITEMS elements, and digits of 4 bits.

const THREADS = 256u;
const ITEMS = 8u;
var<workgroup> histogram: array<atomic<u32>, 16>;

@compute @workgroup_size(256)
fn count_shared(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups));
    if block.row >= sizes.rows {
        return;
    }
    if thread < 16u {
        atomicStore(&histogram[thread], 0u);
    }
    workgroupBarrier();
    for (var i = block.begin + thread; i < block.end; i += THREADS) {
        atomicAdd(&histogram[digit_of(keys[i])], 1u);
    }
    workgroupBarrier();
    if thread < 16u {
        counts[(block.row * 16u + thread) * sizes.blocks + block.number] = atomicLoad(&histogram[thread]);
    }
}

var<workgroup> sums: array<u32, THREADS>;

// The sum of the values of all threads before this one.
fn sum_before(thread: u32, value: u32) -> u32 {
    sums[thread] = value;
    workgroupBarrier();
    for (var reach = 1u; reach < THREADS; reach *= 2u) {
        var other = 0u;
        if thread >= reach {
            other = sums[thread - reach];
        }
        workgroupBarrier();
        sums[thread] += other;
        workgroupBarrier();
    }
    return sums[thread] - value;
}

// A workgroup for each row and digit.
@compute @workgroup_size(256)
fn scan_shared(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups);
    if row >= sizes.rows * 16u {
        return;
    }
    let share = (sizes.blocks + THREADS - 1u) / THREADS;
    let begin = row * sizes.blocks + min(thread * share, sizes.blocks);
    let end = row * sizes.blocks + min((thread + 1u) * share, sizes.blocks);
    var own = 0u;
    for (var i = begin; i < end; i++) {
        own += counts[i];
    }
    var total = sum_before(thread, own);
    for (var i = begin; i < end; i++) {
        let found = counts[i];
        counts[i] = total;
        total += found;
    }
    if thread == THREADS - 1u {
        totals_found[row] = total;
    }
}

// What each thread has of each digit: those of digits 0 to 7 in the low halves, 8 to 15 in the high ones.
var<workgroup> packed: array<u32, 2048>;
// Where a block's elements of each digit go, less where they stand in the block.
var<workgroup> offsets: array<u32, 16>;

@compute @workgroup_size(256)
fn scatter_shared(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups));
    if block.row >= sizes.rows {
        return;
    }
    for (var word = 0u; word < 8u; word++) {
        packed[word * THREADS + thread] = 0u;
    }
    // A thread's elements are neighbours, so that equal digits keep their order.
    let first = block.begin + thread * ITEMS;
    let count = clamp(first + ITEMS, first, max(block.end, first)) - first;
    var own_keys: array<u32, ITEMS>;
    var ranks: array<u32, ITEMS>;
    for (var j = 0u; j < count; j++) {
        let key = keys[first + j];
        let digit = digit_of(key);
        let at = digit % 8u * THREADS + thread;
        let half = digit / 8u * 16u;
        own_keys[j] = key;
        ranks[j] = (packed[at] >> half) & 0xffffu;
        packed[at] += 1u << half;
    }
    workgroupBarrier();

    // All counts in the order of digits, then threads: both halves at once.
    var own = 0u;
    for (var k = thread * 8u; k < thread * 8u + 8u; k++) {
        own += packed[k];
    }
    var total = sum_before(thread, own);
    // The high halves come behind all of the low ones.
    total += sums[THREADS - 1u] << 16u;
    for (var k = thread * 8u; k < thread * 8u + 8u; k++) {
        let found = packed[k];
        packed[k] = total;
        total += found;
    }
    workgroupBarrier();

    if thread < 16u {
        var start = block.row * sizes.n + starts[(block.row * 16u + thread) * sizes.blocks + block.number];
        for (var d = 0u; d < thread; d++) {
            start += totals[block.row * 16u + d];
        }
        offsets[thread] = start - ((packed[thread % 8u * THREADS] >> (thread / 8u * 16u)) & 0xffffu);
    }
    workgroupBarrier();
    for (var j = 0u; j < count; j++) {
        let key = own_keys[j];
        let digit = digit_of(key);
        let before = (packed[digit % 8u * THREADS + thread] >> (digit / 8u * 16u)) & 0xffffu;
        let to = offsets[digit] + before + ranks[j];
        keys_sorted[to] = key;
        order_sorted[to] = select(order[first + j], first + j - block.row * sizes.n, FIRST);
    }
}
