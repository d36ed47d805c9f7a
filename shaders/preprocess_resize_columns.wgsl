// Vertical pass of the resize, for the output rows and columns ("lines") that the crop needs.
// In: the words of the rows pass, or RGB bytes where this runs first. Out: [outputs][lines], one word per pixel.
// Integer arithmetic, exact.
// Plain twin: engines::preprocess::plain::preprocess_resize_columns.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let resize = resize_job(id.y);
    let items = resize.outputs * resize.lines;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        work[resize.to + item] = mixed(resize, walk_columns(resize, item));
    }
}
