//! core: stacked bars that lie, in groups with a name
//! Law:   a part too narrow for its number goes without; its tip has it.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Ink, Width, text_px};
use super::lines::Frame;

/// Groups from top to bottom over one axis.
pub struct Bars {
    pub axis: Axis,
    pub groups: Vec<Group>,
}

pub struct Group {
    pub name: String,
    pub bars: Vec<Bar>,
}

/// Parts from left to right.
pub struct Bar {
    /// Stands before it; short.
    pub name: String,
    pub parts: Vec<Part>,
    /// Stands behind it.
    pub end: String,
}

pub struct Part {
    pub ink: Ink,
    /// In the unit of the axis; not negative.
    pub value: f64,
    pub label: String,
    pub tip: String,
}

impl Bars {
    pub fn draw(&self, id: &str, title: &str, description: &str, width: Width) -> String {
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let bottom = self.groups.len() as f64 * (NAME_PX + GAP_PX) + bars as f64 * (BAR_PX + 3.0);
        let names = || self.groups.iter().flat_map(|group| &group.bars);
        let widest = |of: fn(&Bar) -> &str| names().map(|bar| text_px(of(bar))).fold(0.0, f64::max);
        // The axis ends where the longest bar's closing words still fit.
        let left = if widest(|bar| &bar.name) > 0.0 { widest(|bar| &bar.name) + 8.0 } else { 1.0 };
        let right = width.px() - widest(|bar| &bar.end) - 10.0;
        let frame = Frame { left, right, top: 0.0, bottom };
        let mut canvas = Canvas::new();
        for (value, _) in &self.axis.ticks {
            let x = frame.x(&self.axis, *value);
            canvas.line(if *value == 0.0 { "base" } else { "grid" }, (x, NAME_PX), (x, bottom));
        }
        let mut y = 0.0;
        for group in &self.groups {
            canvas.text("name", Anchor::Start, (0.0, y + NAME_PX - 6.0), &group.name);
            y += NAME_PX;
            for bar in &group.bars {
                draw_bar(&mut canvas, &frame, &self.axis, bar, y);
                y += BAR_PX + 3.0;
            }
            y += GAP_PX;
        }
        frame.draw_x(&mut canvas, &self.axis);
        canvas.finish(id, title, description, width, bottom + 44.0)
    }
}

fn draw_bar(canvas: &mut Canvas, frame: &Frame, axis: &Axis, bar: &Bar, y: f64) {
    let base = y + BAR_PX / 2.0 + 4.0;
    canvas.text("tick", Anchor::End, (frame.left - 8.0, base), &bar.name);
    let mut sum = 0.0;
    for part in &bar.parts {
        let from = frame.x(axis, sum);
        sum += part.value.max(0.0);
        let wide = frame.x(axis, sum) - from;
        // A hair of ground between two parts keeps them apart without colour.
        canvas.rect("bar", Some(part.ink), (from, y), ((wide - 1.0).max(wide.min(0.7)), BAR_PX), &part.tip);
        if wide > text_px(&part.label) + 4.0 {
            canvas.text("on-bar", Anchor::Middle, (from + wide / 2.0, base), &part.label);
        }
    }
    canvas.text("tag", Anchor::Start, (frame.x(axis, sum) + 6.0, base), &bar.end);
}

const BAR_PX: f64 = 19.0;
const NAME_PX: f64 = 22.0;
const GAP_PX: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::markup::assert_well_formed;

    fn part(value: f64) -> Part {
        Part { ink: Ink::Slot(0), value, label: "half".into(), tip: "a tip".into() }
    }

    #[test]
    fn parts_lie_end_to_end() {
        let bar = |parts| Bar { name: String::new(), parts, end: String::new() };
        let group = |parts| Group { name: "1 <user>".into(), bars: vec![bar(parts)] };
        let bars = Bars {
            axis: Axis::from_zero("ms", 1.0, 2),
            groups: vec![group(vec![part(0.5), part(0.5)]), group(vec![part(0.001)])],
        };
        let svg = bars.draw("a", "t", "d", Width::Screen);
        assert_well_formed(&svg);
        assert!(
            svg.contains(r#"x="1" y="22" width="463.5""#) && svg.contains(r#"x="465.5" y="22" width="463.5""#),
            "{svg}"
        );
        assert_eq!(svg.matches(">half</text>").count(), 2, "the narrow part has no room for its label");
        assert_eq!(svg.matches("<title>a tip</title>").count(), 3);
    }

    #[test]
    fn no_bars_are_no_trouble() {
        let svg = Bars { axis: Axis::from_zero("", 0.0, 2), groups: vec![] }.draw("a", "t", "d", Width::Phone);
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN"));
    }
}
