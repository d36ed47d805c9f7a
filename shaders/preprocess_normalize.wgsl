// Channel order, scale, mean, std and layout, by a table of the 256 values of each output channel; and a letterbox's canvas.
// In: [height][width] words. Out: [height][width][3] or [3][height][width] floats.
// Plain twin: engines::preprocess::plain::preprocess_normalize.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let canvas = canvas_job(id.y);
    let items = canvas.width * canvas.height;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let at = spot(canvas, item);
        var bits = canvas.fill;
        if (at.inside) {
            bits = work[canvas.source + at.pixel];
        }
        for (var channel = 0u; channel < 3u; channel++) {
            let picked = select(channel, 2u - channel, canvas.bgr);
            put(canvas, item, channel, tables[canvas.values + 256u * channel + ((bits >> (8u * picked)) & 255u)]);
        }
    }
}
