// Image-domain quality: whole hundredths of difference between neighbours, summed, over 90, at most 100. One workgroup per image.
// In: [64][64] floats. Out: the word after the eight hashes. Plain twin: engines::hashing::plain::pdq_quality.

const SIDE: u32 = 64u;
const SCALE: i32 = 90; // the reference's hand-tuned divisor

var<workgroup> sums: array<i32, 256>;

fn difference(a: u32, b: u32) -> i32 {
    return abs(i32((bitcast<f32>(work[a]) - bitcast<f32>(work[b])) * 100.0 / 255.0));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let source = job(group.y, 6u);
    var sum = 0;
    for (var item = lane; item < SIDE * SIDE; item += INVOCATIONS) {
        if (item / SIDE + 1u < SIDE) {
            sum += difference(source + item, source + item + SIDE);
        }
        if (item % SIDE + 1u < SIDE) {
            sum += difference(source + item, source + item + 1u);
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
        work[job(group.y, 9u) + 64u] = u32(min(sums[0] / SCALE, 100));
    }
}
