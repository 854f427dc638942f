// tanh(x) = (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ)
//#import tanh
