// y[b, k, m] = bias[k] + Σ x[b, c, m·stride + start + t·step] · w[k, c, t] over inputs c and taps t, for each group.
//
// This one sum is every pass of a convolution. For y itself the taps are the window. For dx the input is dy, which the
// window crosses backwards; where y has a stride, the elements of dx that meet the same taps form a phase, and each
// phase is a sum of its own. For dw the window is dy, and images and channels change places.
//
// There are three axes: depth, rows and columns. Images have one plane, and signals one row of it.
struct Correlation {
    // The sum is four nested loops: over tap planes, then over inputs, tap rows and tap columns in an order the host
    // chooses. A step of a loop adds these to the source's row and column, to the place in x and to the place in w.
    top: vec4<u32>,
    outer: vec4<u32>,
    middle: vec4<u32>,
    inner: vec4<u32>,
    // Elements of y. They are computed in phases: element i of phase p is i·spread + p.
    size: vec3<u32>,
    phases: vec3<u32>,
    spread: vec3<u32>,
    // Elements of x, and of the window.
    extent: vec3<u32>,
    taps: vec3<u32>,
    // A phase p meets the taps t for which p + offset − t·dilation is a multiple of spread: where the divisor (of
    // spread and dilation) divides p + offset, these are every tap_step-th tap from (p + offset) / divisor · inverse
    // modulo tap_step on. Negative numbers are two's complement.
    offset: vec3<u32>,
    dilation: vec3<u32>,
    divisor: vec3<u32>,
    inverse: vec3<u32>,
    tap_step: vec3<u32>,
    // Element i of a phase meets i·stride + start in x with its first tap.
    stride: vec3<u32>,
    // What a step of the first loop adds to the source's plane.
    top_depth: u32,
    inputs: u32,
    // 1 where the loop over inputs is the last.
    inputs_inside: u32,
    // The sum may be cut into parts, each of so many steps of the first three loops together and of the last.
    outer_part: u32,
    inner_part: u32,
    outer_parts: u32,
    parts: u32,
    batch: u32,
    groups: u32,
    outputs: u32,
    // Elements between neighbours.
    x_batch: u32,
    x_group: u32,
    w_group: u32,
    w_output: u32,
    w_tap: u32,
    y_batch: u32,
    y_group: u32,
    y_output: u32,
    // All of y.
    elements: u32,
    // 1 where there is a bias.
    bias: u32,
}
@group(0) @binding(4) var<uniform> sizes: Correlation;

// Whether there is more than one plane, or a stride to be undone by phases. Without, there is less to divide.
override GENERAL: bool = false;

// What a workgroup computes.
struct Work {
    group: u32,
    // The first of its outputs, in blocks, and of its pixels, in spans.
    block: u32,
    span: u32,
    part: u32,
    phase: Phase,
}

// Workgroup `id` of those that count spans of pixels first, then blocks of outputs, groups, phases and parts.
fn find_work(id: u32, block: u32, span: u32) -> Work {
    let most = (sizes.size + sizes.spread - 1u) / sizes.spread;
    var pixels = sizes.batch * sizes.size.y * sizes.size.z;
    if GENERAL { pixels = sizes.batch * most.x * most.y * most.z; }
    let spans = (pixels + span - 1u) / span;
    let blocks = (sizes.outputs + block - 1u) / block;
    let line = id / spans;
    let number = line % (blocks * sizes.groups);
    var part = line / (blocks * sizes.groups);
    var phase = 0u;
    if GENERAL {
        let phases = sizes.phases.x * sizes.phases.y * sizes.phases.z;
        phase = part % phases;
        part /= phases;
    }
    return Work(number / blocks, number % blocks, id - line * spans, part, find_phase(phase));
}

// A phase: its number along each axis, how many elements it has, the taps they meet, and where the first one lies.
struct Phase {
    number: vec3<u32>,
    count: vec3<u32>,
    taps: vec3<u32>,
    tap_first: vec3<u32>,
    start: vec3<u32>,
}

fn find_phase(id: u32) -> Phase {
    if !GENERAL { return Phase(vec3<u32>(), sizes.size, sizes.taps, vec3<u32>(), sizes.offset); }
    let line = id / sizes.phases.z;
    let number = vec3(line / sizes.phases.y, line % sizes.phases.y, id % sizes.phases.z);
    let reach = number + sizes.offset;
    let first = reach / sizes.divisor % sizes.tap_step * sizes.inverse % sizes.tap_step;
    let meets = (reach % sizes.divisor == vec3<u32>()) & (first < sizes.taps);
    let start = (vec3<i32>(reach) - vec3<i32>(first * sizes.dilation)) / vec3<i32>(sizes.spread);
    return Phase(
        number,
        (sizes.size - number + sizes.spread - 1u) / sizes.spread,
        select(vec3<u32>(), (sizes.taps - first + sizes.tap_step - 1u) / sizes.tap_step, meets),
        first,
        vec3<u32>(start),
    );
}

// How often each of the four loops runs.
fn loop_counts(phase: Phase) -> vec4<u32> {
    let taps = phase.taps;
    return select(vec4(taps.x, sizes.inputs, taps.y, taps.z), vec4(taps, sizes.inputs), sizes.inputs_inside == 1u);
}

// Where a phase's first tap lies in w.
fn first_tap(phase: Phase) -> u32 {
    if !GENERAL { return 0u; }
    let first = phase.tap_first;
    return ((first.x * sizes.taps.y + first.y) * sizes.taps.z + first.z) * sizes.w_tap;
}

// A part's steps of the first three loops, counted as one, and of the inner loop.
struct Part {
    first: u32,
    end: u32,
    inner: u32,
    inner_end: u32,
}

fn find_part(part: u32, counts: vec4<u32>) -> Part {
    var steps = counts.y * counts.z;
    if GENERAL { steps *= counts.x; }
    let first = min(part % sizes.outer_parts * sizes.outer_part, steps);
    let inner = min(part / sizes.outer_parts * sizes.inner_part, counts.w);
    return Part(first, min(first + sizes.outer_part, steps), inner, min(inner + sizes.inner_part, counts.w));
}

// Steps of the four loops.
fn find_steps(step: u32, inner: u32, counts: vec4<u32>) -> vec4<u32> {
    let line = step / counts.z;
    let middle = step - line * counts.z;
    if !GENERAL { return vec4(0u, line, middle, inner); }
    return vec4(line / counts.y, line % counts.y, middle, inner);
}

// What steps of the four loops add to the source's row and column, to the place in x and to the place in w.
fn find_place(steps: vec4<u32>) -> vec4<u32> {
    let place = steps.y * sizes.outer + steps.z * sizes.middle + steps.w * sizes.inner;
    if !GENERAL { return place; }
    return place + steps.x * sizes.top;
}

// One step of the whole sum: what it adds to the source's row and column, to the place in x and in w, and to its plane.
struct Step {
    place: vec4<u32>,
    depth: u32,
    inside: bool,
}

fn find_step(number: u32, depth: u32, range: Part, counts: vec4<u32>) -> Step {
    let width = range.inner_end - range.inner;
    let steps = find_steps(range.first + number / width, range.inner + number % width, counts);
    return Step(find_place(steps), steps.x * sizes.top_depth, number < depth);
}

// A way through a part's steps: where it is, without the inner loop.
struct Walk {
    outer: u32,
    middle: u32,
    // What the steps so far add to the source's plane, and to what find_place says.
    depth: u32,
    place: vec4<u32>,
}

fn begin_walk(range: Part, counts: vec4<u32>, phase: Phase) -> Walk {
    let steps = find_steps(range.first, range.inner, counts);
    let place = find_place(steps) + vec4(0u, 0u, 0u, first_tap(phase));
    return Walk(steps.y, steps.z, steps.x * sizes.top_depth, place);
}

fn next_step(walk: Walk, counts: vec4<u32>) -> Walk {
    var next = walk;
    next.middle++;
    next.place += sizes.middle;
    if next.middle == counts.z {
        next.middle = 0u;
        next.place += sizes.outer - counts.z * sizes.middle;
        if GENERAL {
            next.outer++;
            if next.outer == counts.y {
                next.outer = 0u;
                next.place += sizes.top - counts.y * sizes.outer;
                next.depth += sizes.top_depth;
            }
        }
    }
    return next;
}

// Four pixels: their place in the batch and in y, and the source of their first tap.
// Numbers past the end repeat the last pixel.
struct Pixels {
    batch: vec4<u32>,
    depth: vec4<u32>,
    row: vec4<u32>,
    column: vec4<u32>,
    source_depth: vec4<u32>,
    source_row: vec4<u32>,
    source_column: vec4<u32>,
}

fn pixel_count(phase: Phase) -> u32 {
    if !GENERAL { return sizes.batch * phase.count.y * phase.count.z; }
    return sizes.batch * phase.count.x * phase.count.y * phase.count.z;
}

fn find_pixels(numbers: vec4<u32>, phase: Phase) -> Pixels {
    let near = min(numbers, vec4(pixel_count(phase) - 1u));
    let line = near / phase.count.z;
    let column = near - line * phase.count.z;
    let plane = line / phase.count.y;
    let row = line - plane * phase.count.y;
    let source_row = row * sizes.stride.y + phase.start.y;
    let source_column = column * sizes.stride.z + phase.start.z;
    if !GENERAL { return Pixels(plane, vec4<u32>(), row, column, vec4<u32>(), source_row, source_column); }
    let batch = plane / phase.count.x;
    let depth = plane - batch * phase.count.x;
    let number = phase.number;
    return Pixels(
        batch,
        depth * sizes.spread.x + number.x,
        row * sizes.spread.y + number.y,
        column * sizes.spread.z + number.z,
        depth * sizes.stride.x + phase.start.x,
        source_row,
        source_column,
    );
}

fn source_index(pixels: Pixels, group: u32) -> vec4<u32> {
    let image = pixels.batch * sizes.x_batch + group * sizes.x_group;
    let line = pixels.source_depth * sizes.extent.y + pixels.source_row;
    return image + line * sizes.extent.z + pixels.source_column;
}

fn output_index(pixels: Pixels, group: u32, output: u32) -> vec4<u32> {
    let image = pixels.batch * sizes.y_batch + group * sizes.y_group + output * sizes.y_output;
    return image + (pixels.depth * sizes.size.y + pixels.row) * sizes.size.z + pixels.column;
}
