// Lines of elements that four windows side by side are read from as vectors; `x` is the file's array.
//#import turned

// The columns of a window; 0 where the uniform says them.
override COLUMNS: u32 = 0u;
// How far apart windows side by side are whose lines are read as vectors, and the padding before the first one: 0 where
// elements are read one by one.
override STEP: u32 = 0u;
override BEFORE: u32 = 0u;
// Whether rows of x are whole vectors.
override WHOLE_ROWS: bool = false;

// What lies before and behind an element that the first of four windows begins at, but for the padding: four of a line
// before it and twelve from it on.
fn line_near(i: u32) -> array<vec4<f32>, 4> {
    let last = 3u * STEP + COLUMNS - 1u - BEFORE + select(3u, 0u, WHOLE_ROWS);
    let v = vector_of(i);
    var near = array(vec4<f32>(), vec4<f32>(x[v]), vec4<f32>(), vec4<f32>());
    var end = vec4<f32>();
    if BEFORE > 0u {
        near[0] = vec4<f32>(x[v - 1u]);
    }
    if last > 3u {
        near[2] = vec4<f32>(x[v + 1u]);
    }
    if last > 7u {
        near[3] = vec4<f32>(x[v + 2u]);
    }
    if last > 11u {
        end = vec4<f32>(x[v + 3u]);
    }
    if WHOLE_ROWS {
        return near;
    }
    let by = i % 4u;
    return array(
        turned(near[0], near[1], by), turned(near[1], near[2], by),
        turned(near[2], near[3], by), turned(near[3], end, by));
}

// Element s of each of four windows.
fn column_of(near: array<vec4<f32>, 4>, s: u32) -> vec4<f32> {
    var line = near;
    let f = 4u + s - BEFORE + STEP * vec4(0u, 1u, 2u, 3u);
    return vec4(line[f.x / 4u][f.x % 4u], line[f.y / 4u][f.y % 4u], line[f.z / 4u][f.z % 4u], line[f.w / 4u][f.w % 4u]);
}
