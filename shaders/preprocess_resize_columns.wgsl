// Vertical pass of the resize. In: [rows][output width] words from `first_row` on. Out: [output height][output width] words.
// Plain twin: engines::preprocess::plain::preprocess_resize_columns.

const HALF: i32 = 2097152; // 2^21: rounds at 22 fraction bits

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let first_row = job(id.y, 2u);
    let table = job(id.y, 5u);
    let rows = job(id.y, 6u);
    let to = job(id.y, 7u);
    let width = job(id.y, 10u);
    let height = job(id.y, 11u);
    let items = width * height;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let output = taps(table, height, item / width);
        let source = rows + (output.start - first_row) * width + item % width;
        var sum = vec3<i32>(HALF);
        for (var tap = 0u; tap < output.count; tap++) {
            let bits = work[source + tap * width];
            let value = vec3<i32>(vec3<u32>(bits & 255u, (bits >> 8u) & 255u, (bits >> 16u) & 255u));
            sum += value * i32(tables[output.weights + tap]);
        }
        let value = vec3<u32>(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
        work[to + item] = value.x | (value.y << 8u) | (value.z << 16u);
    }
}
