//! Plots as inline SVG: axes, lines, bands, bars. Colours come from the page's style by class.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

/// The drawing's size in its own units; the page scales it to the room there is.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 290.0;
/// Room for the labels of the axes.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;

/// One axis.
pub(super) struct Axis {
    pub label: &'static str,
    low: f64,
    high: f64,
    log: bool,
    /// (value, what is written).
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// 0 to 1 in fifths.
    pub fn unit(label: &'static str) -> Self {
        Self::linear(label, 0.0, 1.0)
    }

    /// Six ticks from `low` to `high`.
    pub fn linear(label: &'static str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let tick = |step: u32| {
            let value = low + (high - low) * f64::from(step) / 5.0;
            (value, short(value))
        };
        Self { label, low, high, log: false, ticks: (0..=5).map(tick).collect() }
    }

    /// 0 to a little above `highest`, in steps that are round numbers.
    pub fn from_zero(label: &'static str, highest: f64) -> Self {
        let step = (highest / 5.0).max(1e-9);
        let power = 10_f64.powf(step.log10().floor());
        let round = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|round| *round >= step * (1.0 - 1e-9));
        Self::linear(label, 0.0, 5.0 * round.unwrap_or(step))
    }

    /// A tick at each value; all positive, ascending.
    pub fn log(label: &'static str, ticks: &[(f64, &str)]) -> Self {
        let (low, high) = (ticks.first().map_or(0.1, |tick| tick.0), ticks.last().map_or(1.0, |tick| tick.0));
        Self { label, low, high, log: true, ticks: ticks.iter().map(|(value, text)| (*value, (*text).to_owned())).collect() }
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let of = |value: f64| if self.log { value.max(self.low).ln() } else { value };
        ((of(value) - of(self.low)) / (of(self.high) - of(self.low))).clamp(0.0, 1.0)
    }
}

/// A tick's text: no more digits than tell it from its neighbours.
fn short(value: f64) -> String {
    let text = if value != 0.0 && (value.abs() < 0.01 || value.abs() >= 1e5) { format!("{value:.1e}") } else { format!("{value:.3}") };
    if text.contains('e') { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// A plot under construction.
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    marks: String,
}

impl Plot {
    pub const fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, marks: String::new() }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM))
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let (x, y) = self.at(*x, *y);
            // Writing to a string cannot fail.
            let _ = write!(path, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
        }
        path
    }

    fn mark(&mut self, mark: &Markup) {
        self.marks.push_str(&mark.0);
    }

    /// A line through the points.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        self.mark(&html! { path class={ "line " (class) } d=(path) {} });
    }

    /// The area between two lines, given as (x, low, high).
    pub fn band(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        let there = points.iter().map(|(x, low, _)| (*x, *low));
        let back = points.iter().rev().map(|(x, _, high)| (*x, *high));
        let path = self.path(&there.chain(back).collect::<Vec<_>>());
        self.mark(&html! { path class={ "band " (class) } d={ (path) "Z" } {} });
    }

    /// A disc of `size` units; its title is read by pointing at it.
    pub fn disc(&mut self, class: &str, (x, y): (f64, f64), size: f64, title: &str) {
        let (x, y) = self.at(x, y);
        self.mark(&html! { circle class={ "disc " (class) } cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r=(format!("{size:.1}")) { title { (title) } } });
    }

    /// A bar from the lower axis.
    pub fn bar(&mut self, class: &str, low: f64, high: f64, value: f64) {
        let ((left, top), (right, bottom)) = (self.at(low, value), self.at(high, self.y.low));
        let (width, height) = ((right - left).max(0.5), bottom - top);
        self.mark(&html! {
            rect class={ "bar " (class) } x=(format!("{left:.1}")) y=(format!("{top:.1}")) width=(format!("{width:.1}")) height=(format!("{height:.1}")) {}
        });
    }

    /// The drawing, which says of itself what it shows.
    pub fn draw(self, description: &str) -> Markup {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let middle = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(description) {
                @for (value, text) in &self.x.ticks {
                    @let x = self.at(*value, self.y.low).0;
                    line class="grid" x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(TOP) y2=(bottom) {}
                    text class="tick" x=(format!("{x:.1}")) y=(bottom + 15.0) text-anchor="middle" { (text) }
                }
                @for (value, text) in &self.y.ticks {
                    @let y = self.at(self.x.low, *value).1;
                    line class="grid" x1=(LEFT) x2=(right) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                    text class="tick" x=(LEFT - 6.0) y=(format!("{:.1}", y + 4.0)) text-anchor="end" { (text) }
                }
                (PreEscaped(&self.marks))
                text class="axis" x=(middle.0) y=(HEIGHT - 8.0) text-anchor="middle" { (self.x.label) }
                text class="axis" x="12" y=(middle.1) text-anchor="middle" transform=(format!("rotate(-90 12 {})", middle.1)) { (self.y.label) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_inside_and_ticks_are_short() {
        let log = Axis::log("", &[(1e-6, "a"), (1.0, "b")]);
        assert!((log.place(1e-3) - 0.5).abs() < 1e-12 && log.place(0.0) == 0.0 && log.place(7.0) == 1.0);
        let highest = |value: f64| Axis::from_zero("", value).ticks.last().unwrap().1.clone();
        assert_eq!([0.12, 0.034, 1.0, 0.25].map(highest), ["0.125", "0.04", "1", "0.25"]);
        assert_eq!(Axis::linear("", 3.0, 3.0).place(3.0), 0.0);
        assert_eq!([0.0, 0.2, 1.0, -12.5, 1e-4, 2e6].map(short), ["0", "0.2", "1", "-12.5", "1.0e-4", "2.0e6"]);
        let mut plot = Plot::new(Axis::unit("x"), Axis::unit("y"));
        plot.disc("a", (0.5, 2.0), 3.0, "<b>");
        let drawn = plot.draw("d").into_string();
        assert!(drawn.contains("&lt;b&gt;") && drawn.contains("cy=\"10.0\""), "{drawn}");
    }
}
