//! A line of text over a picture: capitals and digits of 5 x 7 dots, drawn as squares.

/// Where the line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Top,
    Middle,
    Bottom,
}

/// How the line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// White with a black edge, as captions are.
    Caption,
    /// White through which this percentage of the picture is seen, without an edge, as watermarks are.
    Watermark(u8),
}

/// Dots of a glyph: five columns from the left, the lowest bit on top; then one column of space.
const COLUMNS: usize = 5;
const ROWS: usize = 7;
const STEP: usize = COLUMNS + 1;

/// Of the letters A to Z.
const LETTERS: [[u8; COLUMNS]; 26] = [
    [0x7e, 0x11, 0x11, 0x11, 0x7e],
    [0x7f, 0x49, 0x49, 0x49, 0x36],
    [0x3e, 0x41, 0x41, 0x41, 0x22],
    [0x7f, 0x41, 0x41, 0x22, 0x1c],
    [0x7f, 0x49, 0x49, 0x49, 0x41],
    [0x7f, 0x09, 0x09, 0x09, 0x01],
    [0x3e, 0x41, 0x49, 0x49, 0x7a],
    [0x7f, 0x08, 0x08, 0x08, 0x7f],
    [0x00, 0x41, 0x7f, 0x41, 0x00],
    [0x20, 0x40, 0x41, 0x3f, 0x01],
    [0x7f, 0x08, 0x14, 0x22, 0x41],
    [0x7f, 0x40, 0x40, 0x40, 0x40],
    [0x7f, 0x02, 0x0c, 0x02, 0x7f],
    [0x7f, 0x04, 0x08, 0x10, 0x7f],
    [0x3e, 0x41, 0x41, 0x41, 0x3e],
    [0x7f, 0x09, 0x09, 0x09, 0x06],
    [0x3e, 0x41, 0x51, 0x21, 0x5e],
    [0x7f, 0x09, 0x19, 0x29, 0x46],
    [0x46, 0x49, 0x49, 0x49, 0x31],
    [0x01, 0x01, 0x7f, 0x01, 0x01],
    [0x3f, 0x40, 0x40, 0x40, 0x3f],
    [0x1f, 0x20, 0x40, 0x20, 0x1f],
    [0x3f, 0x40, 0x38, 0x40, 0x3f],
    [0x63, 0x14, 0x08, 0x14, 0x63],
    [0x07, 0x08, 0x70, 0x08, 0x07],
    [0x61, 0x51, 0x49, 0x45, 0x43],
];

/// Of the digits 0 to 9.
const DIGITS: [[u8; COLUMNS]; 10] = [
    [0x3e, 0x51, 0x49, 0x45, 0x3e],
    [0x00, 0x42, 0x7f, 0x40, 0x00],
    [0x42, 0x61, 0x51, 0x49, 0x46],
    [0x21, 0x41, 0x45, 0x4b, 0x31],
    [0x18, 0x14, 0x12, 0x7f, 0x10],
    [0x27, 0x45, 0x45, 0x45, 0x39],
    [0x3c, 0x4a, 0x49, 0x49, 0x30],
    [0x01, 0x71, 0x09, 0x05, 0x03],
    [0x36, 0x49, 0x49, 0x49, 0x36],
    [0x06, 0x49, 0x49, 0x29, 0x1e],
];

fn glyph(character: u8) -> [u8; COLUMNS] {
    match character.to_ascii_uppercase() {
        letter @ b'A'..=b'Z' => LETTERS[usize::from(letter - b'A')],
        digit @ b'0'..=b'9' => DIGITS[usize::from(digit - b'0')],
        _ => [0; COLUMNS],
    }
}

/// Draws into RGB `pixels` of this size.
pub(super) fn write(pixels: &mut [u8], (width, height): (u32, u32), text: &str, share: f64, place: Place, ink: Ink) {
    let (width, height) = (width as usize, height as usize);
    let columns = text.len() * STEP;
    if columns == 0 {
        return;
    }
    // Pixels of a dot: so many that the line has its share of the height, but not more than fit with a dot to spare on either side.
    let dot = ((height as f64 * share / ROWS as f64) as usize).min(width / (columns + 2)).max(1);
    let left = width.saturating_sub(columns * dot) / 2;
    let top = match place {
        Place::Top => dot,
        Place::Middle => height.saturating_sub(ROWS * dot) / 2,
        Place::Bottom => height.saturating_sub((ROWS + 1) * dot),
    };
    let dots: Vec<u8> = text.bytes().flat_map(|character| glyph(character).into_iter().chain([0])).collect();
    let set = |column: isize, row: isize| {
        let bits = usize::try_from(column).ok().and_then(|column| dots.get(column)).copied().unwrap_or(0);
        (0..ROWS as isize).contains(&row) && bits >> row & 1 == 1
    };
    for row in -1..=ROWS as isize {
        for column in -1..=columns as isize {
            let near = || (-1..=1).any(|down| (-1..=1).any(|across| set(column + across, row + down)));
            let (value, seen) = match (set(column, row), ink) {
                (true, Ink::Caption) => (255, 0),
                (true, Ink::Watermark(seen)) => (255, u32::from(seen.min(100))),
                (false, Ink::Caption) if near() => (0, 0),
                _ => continue,
            };
            let start = |first: usize, place: isize| first as isize + place * dot as isize;
            let inside = |start: isize, end: usize| start.max(0)..(start + dot as isize).min(end as isize);
            for y in inside(start(top, row), height) {
                for x in inside(start(left, column), width) {
                    for byte in &mut pixels[3 * (y as usize * width + x as usize)..][..3] {
                        *byte = ((u32::from(*byte) * seen + value * (100 - seen)) / 100) as u8;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `#` for white, `.` for black and blank for what was not touched.
    fn drawn(size: (u32, u32), text: &str, share: f64, place: Place, ink: Ink) -> Vec<String> {
        let mut pixels = vec![100; 3 * (size.0 * size.1) as usize];
        write(&mut pixels, size, text, share, place, ink);
        let letter = |rgb: &[u8]| match rgb[0] {
            255 => '#',
            0 => '.',
            100 => ' ',
            _ => '+',
        };
        let lines: Vec<char> = pixels.chunks_exact(3).map(letter).collect();
        lines.chunks_exact(size.0 as usize).map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    #[test]
    fn letters_look_like_letters_and_have_an_edge() {
        let lines = drawn((14, 9), "a1", 7.0 / 9.0, Place::Top, Ink::Caption);
        let expected = [
            " .....  ...",
            "..###....#..",
            ".#...#..##.",
            ".#...#...#.",
            ".#...#. .#.",
            ".#####. .#.",
            ".#...#...#...",
            ".#...#..###.",
            "............",
        ];
        // The edge's own corners are the test's least concern: compare what is white.
        let white = |line: &str| line.char_indices().filter(|(_, letter)| *letter == '#').map(|(at, _)| at).collect::<Vec<_>>();
        let shape: Vec<Vec<usize>> = lines.iter().map(|line| white(line)).collect();
        assert_eq!(shape, expected.map(white), "\n{}", lines.join("\n"));
        assert!(lines[0].contains('.') && lines[8].contains('.'), "an edge above and below");
    }

    #[test]
    fn lines_fit_the_picture_and_stand_where_they_should() {
        let rows = |place| {
            let lines = drawn((100, 50), "HELLO", 0.5, place, Ink::Watermark(70));
            let used: Vec<usize> = lines.iter().enumerate().filter(|(_, line)| !line.is_empty()).map(|(at, _)| at).collect();
            assert!(lines.iter().all(|line| !line.contains('#') && !line.contains('.')), "one sees through it");
            (used[0], used[used.len() - 1])
        };
        assert_eq!((rows(Place::Top), rows(Place::Middle), rows(Place::Bottom)), ((3, 23), (14, 34), (26, 46)));
        // Far too small for its text: what fits is drawn, and nothing outside.
        drawn((3, 2), "A LONG TEXT", 1.0, Place::Bottom, Ink::Caption);
        assert!(drawn((20, 20), "", 1.0, Place::Top, Ink::Caption).iter().all(String::is_empty));
    }
}
