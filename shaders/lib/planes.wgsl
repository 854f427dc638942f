// Planes of depth × height × width, one behind the other: a thread computes four neighbours in a row, or several fours.
//#import turned

// Whether planes have a depth: if not, it is 1.
override SOLID: bool = false;
// Whether the four neighbours that a thread writes are always a whole vector.
override WHOLE: bool = false;

// How many times four neighbours a thread computes, one after the other.
override FOURS: u32 = 1u;

struct Four {
    plane: u32,
    depth: u32,
    row: u32,
    column: vec4<u32>,
}

// The first four that belong to a thread; `sizes` are planes, depth, height and width.
fn find_four(id: u32, sizes: vec4<u32>) -> Four {
    let width = 4u * FOURS;
    let spans = (sizes.w + width - 1u) / width;
    let line = id / spans;
    let slice = line / sizes.z;
    var plane = slice;
    if SOLID {
        plane = slice / sizes.y;
    }
    let depth = select(0u, slice - plane * sizes.y, SOLID);
    return Four(plane, depth, line - slice * sizes.z, (id - line * spans) * width + vec4(0u, 1u, 2u, 3u));
}

// The index of the first element of a row.
fn row_index(plane: u32, depth: u32, row: u32, sizes: vec4<u32>) -> u32 {
    return ((plane * sizes.y + depth) * sizes.z + row) * sizes.w;
}

// An element of the file's `x`, an array of vectors, and the four from one on.
fn number(i: u32) -> f32 {
    return f32(x[i / 4u][i % 4u]);
}

fn numbers(i: u32) -> vec4<f32> {
    let v = vector_of(i);
    return turned(vec4<f32>(x[v]), vec4<f32>(x[v + 1u]), i % 4u);
}

fn store_four(four: Four, sizes: vec4<u32>, values: vec4<f32>) {
    let to = row_index(four.plane, four.depth, four.row, sizes) + four.column.x;
    if WHOLE {
        store4(to, values);
        return;
    }
    let inside = four.column < vec4(sizes.w);
    if inside.x { store(to, values.x); }
    if inside.y { store(to + 1u, values.y); }
    if inside.z { store(to + 2u, values.z); }
    if inside.w { store(to + 3u, values.w); }
}
