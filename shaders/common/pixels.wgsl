// The three bytes of pixel `index` of the image that starts at word `first`.
fn rgb(first: u32, index: u32) -> vec3<u32> {
    let byte = index * 3u;
    let word = first + (byte >> 2u);
    let shift = (byte & 3u) * 8u;
    var bits = pixels[word] >> shift;
    if (shift > 8u) {
        bits |= pixels[word + 1u] << (32u - shift);
    }
    return vec3<u32>(bits & 255u, (bits >> 8u) & 255u, (bits >> 16u) & 255u);
}
