// schedule: the learning rate of step t: step decay a·γ^⌊t/n⌋, cosine b + (a − b)·(1 + cos(π·t/n))/2, warm-up a·min((t + 1)/n, 1), Noam, phases

fn schedule_decay(t: u32, rate: f32, ln_gamma: f32, every: u32) -> f32 {
    return rate * exp(max(f32(t / every) * ln_gamma, -100.0));
}

// (1 + cos(π·t/n))/2 = sin²(π/2·(1 − t/n)), which keeps its digits towards the end; constant behind it.
fn schedule_cosine(t: u32, high: f32, low: f32, steps: u32) -> f32 {
    let left = f32(steps - min(t, steps)) / f32(steps);
    let sine = schedule_sine(left);
    return low + (high - low) * (sine * sine);
}

// sin(π/2·x) for 0 ≤ x ≤ 1 by Taylor's series: WGSL promises only three digits of its own.
fn schedule_sine(x: f32) -> f32 {
    let a = 1.5707964 * x;
    let s = -a * a;
    return a * (1.0 + s / 6.0 * (1.0 + s / 20.0 * (1.0 + s / 42.0 * (1.0 + s / 72.0 * (1.0 + s / 110.0 * (1.0 + s / 156.0))))));
}

fn schedule_warmup(rate: f32, t: u32, steps: u32) -> f32 {
    return rate * min(f32(t + 1u) / f32(steps), 1.0);
}

// The steps done since step n.
fn schedule_since(t: u32, n: u32) -> u32 {
    return t - min(t, n);
}

// rate·min(s^−½, s·n^−3⁄2) for the step s = t + 1, which counts from 1.
fn schedule_noam(t: u32, rate: f32, steps: u32) -> f32 {
    let s = f32(t) + 1.0;
    let n = f32(steps);
    return rate * min(1.0 / sqrt(s), s / (n * sqrt(n)));
}

// The rate before up to step `begin`, then from one rate to another until `end`, which then stays.
fn schedule_phase(before: f32, t: u32, begin: f32, end: f32, first: f32, last: f32, cosine: u32) -> f32 {
    if f32(t) <= begin {
        return before;
    }
    let left = clamp((end - f32(t)) / (end - begin), 0.0, 1.0);
    let sine = schedule_sine(left);
    return last + (first - last) * select(left, sine * sine, cosine != 0u);
}

fn schedule_updates(t: u32, every: u32) -> u32 {
    return t / every;
}

fn schedule_is_last(t: u32, every: u32) -> u32 {
    return select(0u, 1u, t % every == every - 1u);
}
