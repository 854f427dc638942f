// prod: dx = dy·Π of the other elements, from the product of all that are not zero and the number of zeros
fn prod_grad(x: f32, dy: f32, product: f32, zeros: f32) -> f32 {
    if zeros == 0.0 {
        return dy * (product / x);
    }
    return select(0.0, dy * product, zeros == 1.0 && x == 0.0);
}
