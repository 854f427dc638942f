// Sums, products, maxima and minima over the threads of a subgroup.
//#import combine

// An extreme of a subgroup, which may lose NaN; a sum does not.
fn tree_extreme(value: f32, extreme: f32) -> f32 {
    return select(extreme, subgroupAdd(value), subgroupAny(tree_nan(vec4(value)).x));
}

fn tree_subgroup(kind: u32, value: f32) -> f32 {
    switch kind {
        case MAX: {
            return tree_extreme(value, subgroupMax(value));
        }
        case MIN: {
            return tree_extreme(value, subgroupMin(value));
        }
        case PRODUCT: {
            return subgroupMul(value);
        }
        default: {
            return subgroupAdd(value);
        }
    }
}
