// The column operator. In: [height][64] floats. Out: [64][64] floats, 0..=255.
// Plain twin: engines::hashing::plain::pdq_jarosz_columns.

const SIDE: u32 = 64u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let table = job(id.y, 4u);
    let rows = job(id.y, 5u);
    let to = job(id.y, 6u);
    for (var item = id.x; item < SIDE * SIDE; item += groups.x * INVOCATIONS) {
        let output = taps(table, SIDE, item / SIDE);
        let source = rows + output.start * SIDE + item % SIDE;
        var sum = 0.0;
        for (var tap = 0u; tap < output.count; tap++) {
            sum += bitcast<f32>(work[source + tap * SIDE]) * bitcast<f32>(tables[output.weights + tap * output.step]);
        }
        work[to + item] = bitcast<u32>(sum);
    }
}
