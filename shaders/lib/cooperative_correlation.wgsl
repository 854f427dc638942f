// What lib/cooperative multiplies in a correlation: a has outputs as rows, b pixels as columns, and k counts the steps
// of the sum. Neither is ever whole in memory: their tiles are gathered from w and x.
//#import correlation

@group(0) @binding(0) var<storage, read> x: array<real>;
// [groups, outputs, inputs, taps] in its own strides.
@group(0) @binding(1) var<storage, read> w: array<real>;
// [groups · outputs], or anything where there is none.
@group(0) @binding(2) var<storage, read> bias: array<real>;
// The result, [N, K, rows, columns] in its own strides; conv/part stores parts of the sum in its place.
@group(0) @binding(3) var<storage, read_write> y: array<real>;

const TRANSPOSED_A = false;
const TRANSPOSED_B = false;
const COOP_B_LENGTH = COOP_DEPTH * COOP_COLUMN_PITCH;

// What a workgroup computes: the steps of its part from `begin` to `end`.
struct CoopTile {
    work: Work,
    counts: vec4<u32>,
    range: Part,
    begin: u32,
    end: u32,
    inside: bool,
}

fn coop_tile(group: u32) -> CoopTile {
    let work = find_work(group, COOP_ROWS, COOP_COLUMNS);
    let counts = loop_counts(work.phase);
    let range = find_part(work.part, counts);
    let depth = (range.end - range.first) * (range.inner_end - range.inner);
    return CoopTile(work, counts, range, 0u, depth, work.part < sizes.parts);
}

fn coop_pixels(tile: CoopTile, column: u32) -> Pixels {
    return find_pixels(tile.work.span * COOP_COLUMNS + column + vec4(0u, 1u, 2u, 3u), tile.work.phase);
}

// All vectors of b that a thread brings are of the same four pixels, and these are found once.
var<private> coop_own: Pixels;
var<private> coop_source: vec4<u32>;

fn coop_begin(tile: CoopTile, thread: u32) {
    coop_own = coop_pixels(tile, coop_b_place(thread).x);
    coop_source = source_index(coop_own, tile.work.group);
}

// The steps of the next tiles: they take divisions, and every step is needed by many threads.
var<workgroup> coop_places: array<vec4<u32>, COOP_DEPTH>;
var<workgroup> coop_planes: array<u32, COOP_DEPTH>;

fn coop_prepare(tile: CoopTile, k: u32, thread: u32) {
    if thread < COOP_DEPTH {
        let step = find_step(k + thread, tile.end, tile.range, tile.counts);
        coop_places[thread] = step.place;
        coop_planes[thread] = step.depth;
    }
}

// w of an output at four steps; past the last output those of that one.
fn coop_a(tile: CoopTile, row: u32, k: u32) -> vec4<f32> {
    let output = min(tile.work.block * COOP_ROWS + row, sizes.outputs - 1u);
    let weights = tile.work.group * sizes.w_group + output * sizes.w_output + first_tap(tile.work.phase);
    let l = k % COOP_DEPTH;
    let steps = vec4(coop_places[l].w, coop_places[l + 1u].w, coop_places[l + 2u].w, coop_places[l + 3u].w);
    let at = weights + steps;
    let here = vec4<f32>(f32(w[at.x]), f32(w[at.y]), f32(w[at.z]), f32(w[at.w]));
    return select(vec4<f32>(), here, k + vec4(0u, 1u, 2u, 3u) < vec4(tile.end));
}

// x under the thread's four pixels at one step.
fn coop_b(tile: CoopTile, column: u32, k: u32) -> vec4<f32> {
    let place = coop_places[k % COOP_DEPTH];
    var inside = (coop_own.source_row + place.x < vec4(sizes.extent.y)) & vec4(k < tile.end);
    inside = inside & (coop_own.source_column + place.y < vec4(sizes.extent.z));
    if GENERAL {
        inside = inside & (coop_own.source_depth + coop_planes[k % COOP_DEPTH] < vec4(sizes.extent.x));
    }
    let i = coop_source + place.z;
    return select(vec4<f32>(), vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w])), inside);
}

fn coop_store(tile: CoopTile, row: u32, column: u32, sums: vec4<f32>) {
    let work = tile.work;
    let output = work.block * COOP_ROWS + row;
    let first = work.span * COOP_COLUMNS + column;
    let end = pixel_count(work.phase);
    if output >= sizes.outputs || first >= end {
        return;
    }
    var results = sums;
    if work.part == 0u && sizes.bias == 1u {
        results += f32(bias[work.group * sizes.outputs + output]);
    }
    var i = output_index(coop_pixels(tile, column), work.group, output) + work.part * sizes.elements;
    for (var pixel = 0u; pixel < min(4u, end - first); pixel++) {
        store(i[pixel], results[pixel]);
    }
}
