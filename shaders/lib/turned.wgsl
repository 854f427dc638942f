// The four numbers from the by-th of eight on.
fn turned(a: vec4<f32>, b: vec4<f32>, by: u32) -> vec4<f32> {
    let two = (by & 2u) != 0u;
    let c = select(a, vec4(a.zw, b.xy), two);
    return select(c, vec4(c.yzw, select(b.x, b.z, two)), (by & 1u) != 0u);
}

fn turned_words(a: vec4<u32>, b: vec4<u32>, by: u32) -> vec4<u32> {
    let two = (by & 2u) != 0u;
    let c = select(a, vec4(a.zw, b.xy), two);
    return select(c, vec4(c.yzw, select(b.x, b.z, two)), (by & 1u) != 0u);
}

// The vector that number i lies in; numbers before the first have vectors before the first.
fn vector_of(i: u32) -> u32 {
    return bitcast<u32>(bitcast<i32>(i) >> 2u);
}
