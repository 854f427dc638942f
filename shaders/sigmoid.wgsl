// sigmoid(x) = 1/(1 + e⁻ˣ)
//#import sigmoid
