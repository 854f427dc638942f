// spread(t, v)[o, k, i] = v[o, i] where k = t[o, i], else 0; a row of the ignored class is 0, one of no class NaN
fn spread(t: u32, v: f32, classes: u32, inner: u32, ignores: u32, ignored: u32, i: u32) -> f32 {
    if ignores != 0u && t == ignored {
        return 0.0;
    }
    // There is no constant for NaN.
    let nan = bitcast<f32>(0x7fc00000u | (i & 1u));
    return select(select(0.0, v, i / inner % classes == t), nan, t >= classes);
}
