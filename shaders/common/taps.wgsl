// A table of taps: pitch, then (start, count) of each output, then [pitch][outputs] weights: neighbouring invocations have neighbouring outputs,
// and so read neighbouring words.

struct Taps {
    start: u32,
    count: u32,
    // First weight in `tables`.
    weights: u32,
    // From one weight to the next.
    step: u32,
}

fn taps(table: u32, outputs: u32, output: u32) -> Taps {
    let head = table + 1u + 2u * output;
    return Taps(tables[head], tables[head + 1u], table + 1u + 2u * outputs + output, outputs);
}
