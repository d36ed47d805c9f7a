// Horizontal pass of the resize, for the lines and output columns that the crop needs.
// In: RGB bytes, or the words of the columns pass where that runs first. Out: [lines][outputs], one word per pixel.
// Integer arithmetic, exact.
// Plain twin: engines::preprocess::plain::preprocess_resize_rows.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let resize = resize_job(id.y);
    let items = resize.outputs * resize.lines;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        work[resize.to + item] = mixed(resize, walk_rows(resize, item));
    }
}
