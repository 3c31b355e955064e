//! core: lines over a common ground, with bounds that they should keep
//! Law:   each line carries its name at its end: colour alone tells nothing apart.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Ink, Width, text_px};

/// Lines; `y` begins at 0.
pub struct Lines {
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub bound: Option<Bound>,
}

/// One line.
pub struct Series {
    /// Short: it stands at the line's end.
    pub tag: String,
    pub ink: Ink,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// A dot and a tip at every point, for few points.
    pub tips: Vec<String>,
}

/// A value of `y` not to be passed.
pub struct Bound {
    pub at: f64,
    pub label: String,
}

impl Lines {
    pub fn draw(&self, id: &str, title: &str, description: &str, width: Width) -> String {
        let height = if width == Width::Screen { 300.0 } else { 250.0 };
        let frame = Frame { left: 46.0, right: width.px() - 46.0, top: 26.0, bottom: height - 44.0 };
        let mut canvas = Canvas::new();
        frame.draw(&mut canvas, &self.x, &self.y);
        let place = |(x, y): (f64, f64)| (frame.x(&self.x, x), frame.y(&self.y, y));
        if let Some(bound) = &self.bound {
            let (_, y) = place((0.0, bound.at));
            canvas.line("bound", (frame.left, y), (frame.right, y));
            canvas.text("bound-name", Anchor::Start, (frame.left + 6.0, y - 6.0), &bound.label);
        }
        let mut tags: Vec<(f64, f64, &str)> = Vec::new();
        for series in &self.series {
            let points: Vec<(f64, f64)> = series.points.iter().map(|point| place(*point)).collect();
            canvas.polyline("line", series.ink, &points);
            for (point, tip) in points.iter().zip(&series.tips) {
                canvas.circle("dot", series.ink, *point, 3.5, tip);
            }
            tags.extend(points.last().map(|(x, y)| (*x, *y, series.tag.as_str())));
        }
        for (x, y, tag) in spread(tags, frame.bottom) {
            canvas.text("tag", Anchor::Start, (x + 8.0, y + 4.0), tag);
        }
        canvas.finish(id, title, description, width, height)
    }
}

/// Tags that would lie on each other, moved apart; none below `bottom`.
fn spread(mut tags: Vec<(f64, f64, &str)>, bottom: f64) -> Vec<(f64, f64, &str)> {
    tags.sort_by(|one, other| other.1.total_cmp(&one.1));
    for place in 0..tags.len() {
        let (lower, rest) = tags.split_at_mut(place);
        let (x, y, tag) = &mut rest[0];
        *y = y.min(bottom);
        let room = text_px(tag) + 10.0;
        // From the lowest up: each neighbour in the way lifts it above itself.
        for (_, taken, _) in lower.iter().filter(|(other, ..)| (other - *x).abs() < room) {
            if (*taken - *y).abs() < LINE_PX {
                *y = taken - LINE_PX;
            }
        }
    }
    tags
}

/// The ground of a plot: where its values lie on the picture.
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Frame {
    pub fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    pub fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }

    /// Grid, ticks and titles. Ticks of `x` that have no room for their label go without.
    pub fn draw(&self, canvas: &mut Canvas, x: &Axis, y: &Axis) {
        for (value, label) in &y.ticks {
            let at = self.y(y, *value);
            canvas.line(if *value == 0.0 { "base" } else { "grid" }, (self.left, at), (self.right, at));
            canvas.text("tick", Anchor::End, (self.left - 8.0, at + 4.0), label);
        }
        canvas.text("title", Anchor::Start, (0.0, 12.0), &y.title);
        self.draw_x(canvas, x);
    }

    /// The horizontal axis alone.
    pub fn draw_x(&self, canvas: &mut Canvas, x: &Axis) {
        let mut free = f64::NEG_INFINITY;
        for (value, label) in &x.ticks {
            let at = self.x(x, *value);
            canvas.line("base", (at, self.bottom), (at, self.bottom + 4.0));
            let half = text_px(label) / 2.0;
            if at - half >= free {
                canvas.text("tick", Anchor::Middle, (at, self.bottom + 18.0), label);
                free = at + half + 6.0;
            }
        }
        canvas.text("title", Anchor::End, (self.right, self.bottom + 36.0), &x.title);
    }
}

/// From one line of text to the next.
const LINE_PX: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::markup::assert_well_formed;

    fn lines(points: &[(f64, f64)]) -> Lines {
        Lines {
            x: Axis::from_zero("users", 10.0, 5),
            y: Axis::of_time("", 1.0, 5),
            series: vec![Series {
                tag: "p<50".into(),
                ink: Ink::Ramp(0.0),
                points: points.to_vec(),
                tips: vec!["one".into(); points.len()],
            }],
            bound: Some(Bound { at: 0.5, label: "target".into() }),
        }
    }

    /// The value 0.5 of 1.0 lies halfway, and so does its bound.
    #[test]
    fn values_lie_where_the_axis_says() {
        let svg = lines(&[(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)]).draw("a", "t", "d", Width::Screen);
        assert_well_formed(&svg);
        assert!(svg.contains(r#"points="46,256 470,141 894,26""#), "{svg}");
        assert!(svg.contains(r#"<line class="bound" x1="46" y1="141" x2="894" y2="141"/>"#), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains(">p&lt;50</text>"));
    }

    #[test]
    fn few_points_are_no_trouble() {
        assert!(!lines(&[]).draw("a", "t", "d", Width::Phone).contains("polyline"));
        let one = lines(&[(1.0, f64::NAN)]).draw("a", "t", "d", Width::Phone);
        assert!(one.contains("<circle") && !one.contains("NaN"));
    }

    #[test]
    fn tags_do_not_lie_on_each_other() {
        let places = |tags| spread(tags, 100.0).iter().map(|(_, y, tag)| format!("{tag}{y}")).collect::<Vec<_>>();
        assert_eq!(places(vec![(0.0, 90.0, "b"), (0.0, 89.0, "a"), (0.0, 105.0, "c")]), ["c100", "b86", "a72"]);
        assert_eq!(places(vec![(0.0, 90.0, "b"), (50.0, 89.0, "a")]), ["b90", "a89"], "apart as they are");
    }
}
