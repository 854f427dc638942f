// x as it is, rounded. (x − a) − b may become x − (a + b) where a driver sees both differences; it does not see through
// this, as it cannot know that the `zero` of the caller's sizes is one.
fn rounded(x: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4(zero));
}
