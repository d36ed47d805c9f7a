// Image-domain quality: whole hundredths of difference between neighbours, summed, and how many are close to another whole number.
// One workgroup per image.
// In: [64][64] floats, and how close is close. Out: the three words after the eight hashes: sum, just under, just over.
// Plain twin: engines::hashing::plain::pdq_quality.

const SIDE: u32 = 64u;

var<workgroup> sums: array<vec3<u32>, 256>;

fn hundredths(a: u32, b: u32, error: f32) -> vec3<u32> {
    let value = abs((bitcast<f32>(work[a]) - bitcast<f32>(work[b])) * 100.0 / 255.0);
    let whole = u32(value);
    let rest = value - f32(whole);
    return vec3<u32>(whole, select(0u, 1u, rest > 1.0 - error), select(0u, 1u, whole > 0u && rest < error));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let source = job(group.y, 6u);
    let error = bitcast<f32>(job(group.y, 10u));
    var sum = vec3<u32>(0u);
    for (var item = lane; item < SIDE * SIDE; item += INVOCATIONS) {
        if (item / SIDE + 1u < SIDE) {
            sum += hundredths(source + item, source + item + SIDE, error);
        }
        if (item % SIDE + 1u < SIDE) {
            sum += hundredths(source + item, source + item + 1u, error);
        }
    }
    sums[lane] = sum;
    for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums[lane] += sums[lane + half];
        }
    }
    if (lane == 0u) {
        let to = job(group.y, 9u) + 64u;
        work[to] = sums[0].x;
        work[to + 1u] = sums[0].y;
        work[to + 2u] = sums[0].z;
    }
}
