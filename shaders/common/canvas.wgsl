// A tensor's item, and the resized picture on it: all of it, or a letterbox's middle.
struct Canvas {
    // First words of the resized picture, of the item and of the values that normalise it.
    source: u32,
    to: u32,
    values: u32,
    // The item's extents.
    width: u32,
    height: u32,
    // The picture's extents and its first pixel's place.
    kept: vec2<u32>,
    place: vec2<u32>,
    // Around the picture, packed.
    fill: u32,
    planar: bool,
    bgr: bool,
}

fn canvas_job(image: u32) -> Canvas {
    return Canvas(
        job(image, 0u), job(image, 1u), job(image, 2u), job(image, 3u), job(image, 4u), vec2<u32>(job(image, 5u), job(image, 6u)),
        vec2<u32>(job(image, 7u), job(image, 8u)), job(image, 9u), job(image, 10u) == 1u, job(image, 11u) == 1u,
    );
}

// What lies at a place of the canvas: a pixel of the picture, or the fill.
struct Spot {
    inside: bool,
    pixel: u32,
}

fn spot(canvas: Canvas, item: u32) -> Spot {
    // Left of and above the picture this wraps to more than any extent.
    let at = vec2<u32>(item % canvas.width, item / canvas.width) - canvas.place;
    return Spot(all(at < canvas.kept), at.y * canvas.kept.x + at.x);
}

// Writes an output channel of place `item`.
fn put(canvas: Canvas, item: u32, channel: u32, bits: u32) {
    let planar = channel * canvas.width * canvas.height + item;
    work[canvas.to + select(3u * item + channel, planar, canvas.planar)] = bits;
}
