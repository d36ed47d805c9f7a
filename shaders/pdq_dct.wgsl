// The 16 x 16 low frequencies: D * samples * D^T. One workgroup per image.
// In: [64][64] floats, and D as [16][64] in the tables. Out: [16][16] floats. Plain twin: engines::hashing::plain::pdq_dct.

const SIDE: u32 = 64u;
const FREQUENCIES: u32 = 16u;

var<workgroup> half_way: array<f32, 1024>; // D * samples: [16][64]

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let samples = job(group.y, 6u);
    let matrix = job(group.y, 7u);
    for (var item = lane; item < FREQUENCIES * SIDE; item += INVOCATIONS) {
        let row = matrix + (item / SIDE) * SIDE;
        let column = samples + item % SIDE;
        var sum = 0.0;
        for (var k = 0u; k < SIDE; k++) {
            sum += bitcast<f32>(tables[row + k]) * bitcast<f32>(work[column + k * SIDE]);
        }
        half_way[item] = sum;
    }
    workgroupBarrier();
    let row = (lane / FREQUENCIES) * SIDE;
    let column = matrix + (lane % FREQUENCIES) * SIDE;
    var sum = 0.0;
    for (var k = 0u; k < SIDE; k++) {
        sum += half_way[row + k] * bitcast<f32>(tables[column + k]);
    }
    work[job(group.y, 8u) + lane] = bitcast<u32>(sum);
}
