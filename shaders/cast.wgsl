// cast(x) = x rounded to the nearest f16, or cut off towards 0 to a u32
//#import nan
fn cast_f32(x: f32) -> f32 {
    return x;
}

// Between other operations numbers are f32; the cast rounds them all the same.
fn cast_half(x: f32) -> f32 {
    let infinity = bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | 0x7f800000u);
    let rounded = unpack2x16float(pack2x16float(vec2(clamp(x, -65504.0, 65504.0), 0.0))).x;
    return keep_nan(x, select(rounded, infinity, abs(x) >= 65520.0));
}

// 0 for NaN and negative numbers, the largest multiple of 256 for those beyond the type.
fn cast_u32(x: f32) -> u32 {
    return select(u32(clamp(x, 0.0, 4294967040.0)), 0u, is_nan(x));
}

fn cast_u32_f32(x: u32) -> f32 {
    return f32(x);
}

fn cast_u32_half(x: u32) -> f32 {
    return cast_half(f32(x));
}
