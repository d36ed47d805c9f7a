// Image-domain quality: whole hundredths of difference between neighbours, summed, how many of them are barely whole,
// how many differences are next to nothing, and the brightest sample.
// One workgroup per image.
// In: [64][64] floats, and what is barely and what next to nothing. Out: the four words after the eight hashes. Plain twin: engines::hashing::plain::pdq_quality.

const SIDE: u32 = 64u;

var<workgroup> sums: array<vec3<u32>, 256>;
var<workgroup> brightest: array<f32, 256>;

fn hundredths(a: u32, b: u32, error: f32, still: f32) -> vec3<u32> {
    let value = abs((bitcast<f32>(work[a]) - bitcast<f32>(work[b])) * 100.0 / 255.0);
    let whole = u32(value);
    return vec3<u32>(whole, select(0u, 1u, whole > 0u && value - f32(whole) < error), select(0u, 1u, value < still));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let source = job(group.y, 6u);
    let error = bitcast<f32>(job(group.y, 10u));
    let still = bitcast<f32>(job(group.y, 13u));
    var sum = vec3<u32>(0u);
    var most = 0.0;
    for (var item = lane; item < SIDE * SIDE; item += INVOCATIONS) {
        most = max(most, bitcast<f32>(work[source + item]));
        if (item / SIDE + 1u < SIDE) {
            sum += hundredths(source + item, source + item + SIDE, error, still);
        }
        if (item % SIDE + 1u < SIDE) {
            sum += hundredths(source + item, source + item + 1u, error, still);
        }
    }
    sums[lane] = sum;
    brightest[lane] = most;
    for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums[lane] += sums[lane + half];
            brightest[lane] = max(brightest[lane], brightest[lane + half]);
        }
    }
    if (lane == 0u) {
        let to = job(group.y, 9u) + 64u;
        work[to] = sums[0].x;
        work[to + 1u] = sums[0].y;
        work[to + 2u] = sums[0].z;
        work[to + 3u] = bitcast<u32>(brightest[0]);
    }
}
