//! core: every request as a dot in time, step after step
//! Law:   what failed has no height: it is a cross on the upper edge.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Ink, Width, px, text_px};
use super::lines::{Bound, Frame};

/// Steps side by side, each as wide as it lasted; `y` begins at 0.
pub struct Dots {
    pub x: Axis,
    pub y: Axis,
    pub bands: Vec<Band>,
    pub bound: Option<Bound>,
}

/// One step.
pub struct Band {
    /// Short: it stands above the step.
    pub name: String,
    pub ink: Ink,
    pub from: f64,
    pub to: f64,
    /// Moment and value; both in the units of the axes.
    pub answered: Vec<(f64, f64)>,
    pub failed: Vec<f64>,
}

impl Dots {
    pub fn draw(&self, id: &str, title: &str, description: &str, width: Width) -> String {
        let height = if width == Width::Screen { 320.0 } else { 270.0 };
        let frame = Frame { left: 46.0, right: width.px() - 12.0, top: 58.0, bottom: height - 44.0 };
        let mut canvas = Canvas::new();
        for (number, band) in self.bands.iter().enumerate() {
            let (from, to) = (frame.x(&self.x, band.from), frame.x(&self.x, band.to));
            if number % 2 == 1 {
                canvas.rect("shade", None, (from, frame.top - 32.0), (to - from, frame.bottom - frame.top + 32.0), "");
            }
            if text_px(&band.name) < to - from {
                canvas.text("tick", Anchor::Middle, ((from + to) / 2.0, frame.top - 20.0), &band.name);
            }
        }
        frame.draw(&mut canvas, &self.x, &self.y);
        for band in &self.bands {
            // Half a pixel apart is one dot: a long run stays a small page.
            let grid = |value: f64| (value * 2.0).round() as i64;
            let places = band.answered.iter().map(|(x, y)| (grid(frame.x(&self.x, *x)), grid(frame.y(&self.y, *y))));
            let mut dots = String::new();
            for (x, y) in places.collect::<BTreeSet<_>>() {
                let (x, y) = (px(x as f64 / 2.0), px(y as f64 / 2.0));
                write!(dots, "M{x} {y}h0").expect("a string takes all that it is given");
            }
            canvas.path("dots", Some(band.ink), &dots);
            let mut crosses = String::new();
            for x in band.failed.iter().map(|x| grid(frame.x(&self.x, *x))).collect::<BTreeSet<_>>() {
                let (x, y) = (px(x as f64 / 2.0 - 3.5), px(frame.top - 11.5));
                write!(crosses, "M{x} {y}l7 7m0 -7l-7 7").expect("a string takes all that it is given");
            }
            canvas.path("cross", None, &crosses);
        }
        if let Some(bound) = &self.bound {
            let y = frame.y(&self.y, bound.at);
            canvas.line("bound", (frame.left, y), (frame.right, y));
            canvas.text("bound-name", Anchor::Start, (frame.left + 6.0, y - 6.0), &bound.label);
        }
        canvas.finish(id, title, description, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::markup::assert_well_formed;

    fn dots(answered: Vec<(f64, f64)>, failed: Vec<f64>) -> String {
        let band = Band { name: "8".into(), ink: Ink::Ramp(0.0), from: 0.0, to: 10.0, answered, failed };
        let dots =
            Dots { x: Axis::from_zero("s", 10.0, 5), y: Axis::of_time("", 1.0, 5), bands: vec![band], bound: None };
        dots.draw("a", "t", "d", Width::Screen)
    }

    #[test]
    fn each_request_is_a_dot_or_a_cross() {
        let svg = dots(vec![(0.0, 0.0), (5.0, 0.5), (5.0, 0.5), (10.0, 1.0)], vec![2.0, 3.0]);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("h0").count(), 3, "two that lie on each other are one");
        assert_eq!(svg.matches("l7 7").count(), 2);
    }

    #[test]
    fn an_empty_step_has_neither() {
        let svg = dots(vec![], vec![]);
        assert!(!svg.contains("<path"), "{svg}");
    }
}
