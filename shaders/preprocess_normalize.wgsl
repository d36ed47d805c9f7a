// Channel order, scale, mean, std and layout, by a table of the 256 values of each output channel.
// In: [height][width] words. Out: [height][width][3] or [3][height][width] floats.
// Plain twin: engines::preprocess::plain::preprocess_normalize.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let source = job(id.y, 0u);
    let to = job(id.y, 1u);
    let values = job(id.y, 2u);
    let items = job(id.y, 3u);
    let planar = job(id.y, 4u) == 1u;
    let bgr = job(id.y, 5u) == 1u;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let bits = work[source + item];
        for (var channel = 0u; channel < 3u; channel++) {
            let picked = select(channel, 2u - channel, bgr);
            let value = tables[values + 256u * channel + ((bits >> (8u * picked)) & 255u)];
            work[to + select(3u * item + channel, channel * items + item, planar)] = value;
        }
    }
}
