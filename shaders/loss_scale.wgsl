// loss_scale: s ← s/2 after a gradient that is no finite number, 2·s after n updates without one

// Whether a number is neither infinite nor NaN, by its bits: drivers may assume that all are.
fn is_finite(x: f32) -> u32 {
    return select(0u, 1u, (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u);
}

// The scale after a run: unchanged in runs that are not the last of their update. It never becomes infinite or 0.
fn loss_scale_next(scale: f32, finite: u32, last: u32, good: u32, growth: f32, backoff: f32, interval: u32) -> f32 {
    if last == 0u {
        return scale;
    }
    if finite == 0u {
        return max(scale * backoff, 1.17549435e-38);
    }
    let grown = scale * growth;
    return select(scale, grown, good + 1u == interval && is_finite(grown) != 0u);
}

// How many updates in a row had finite gradients since the scale last changed.
fn loss_scale_good(good: u32, finite: u32, last: u32, interval: u32) -> u32 {
    let next = select(0u, (good + 1u) % interval, finite != 0u);
    return select(good, next, last != 0u);
}

// Another one where a mask says so.
fn loss_scale_count(count: u32, mask: u32) -> u32 {
    return count + select(0u, 1u, mask != 0u);
}
