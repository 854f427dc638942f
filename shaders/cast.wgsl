// cast(x) = x rounded to the nearest f16, or cut off towards 0 to a u32
//#import nan
fn cast_f32(x: f32) -> f32 {
    return x;
}

// Between other operations numbers are f32; the cast rounds them all the same, ties to even. By bits: drivers may leave
// out a conversion to f16 that is followed by one back.
fn cast_half(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    // Thirteen bits of the fraction go. Numbers below 2⁻¹⁴ are multiples of 2⁻²⁴.
    var rounded = (magnitude + 0xfffu + ((magnitude >> 13u) & 1u)) & 0xffffe000u;
    if magnitude < 0x38800000u {
        rounded = bitcast<u32>(round(bitcast<f32>(magnitude) * 16777216.0) / 16777216.0);
    }
    if magnitude >= 0x477ff000u {
        rounded = 0x7f800000u;
    }
    return keep_nan(x, bitcast<f32>(rounded | (bits & 0x80000000u)));
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
