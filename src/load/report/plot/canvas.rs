//! core: an SVG picture as it is written
//! Law:   coordinates are pixels from the top left, rounded to tenths; colours come from the page's style sheet.

use std::fmt::Write;

use crate::load::report::markup::escape;

/// For which width a plot is drawn: text has the same size in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Screen,
    Phone,
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ink {
    /// Between the first and the last of things in order; 0 to 1.
    Ramp(f64),
    /// One of nine that are told apart.
    Slot(usize),
}

impl Width {
    pub fn px(self) -> f64 {
        match self {
            Self::Screen => 940.0,
            Self::Phone => 328.0,
        }
    }

    /// As the style sheet names it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Phone => "phone",
        }
    }
}

impl Ink {
    /// The colour of number `place` of `count` in order.
    pub fn of_step(place: usize, count: usize) -> Self {
        Self::Ramp(if count > 1 { place as f64 / (count - 1) as f64 } else { 0.6 })
    }

    /// In CSS, for `style="--ink:…"`.
    pub fn css(self) -> String {
        match self {
            Self::Ramp(share) => {
                format!("color-mix(in oklch,var(--last) {:.0}%,var(--first))", share.clamp(0.0, 1.0) * 100.0)
            }
            Self::Slot(slot) => format!("var(--c{})", slot % 9),
        }
    }
}

/// How a text lies at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// The elements drawn so far.
pub struct Canvas {
    body: String,
}

impl Canvas {
    pub fn new() -> Self {
        Self { body: String::new() }
    }

    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
        self.push(format_args!(r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#));
    }

    pub fn rect(&mut self, class: &str, ink: Option<Ink>, corner: (f64, f64), size: (f64, f64), tip: &str) {
        let (x, y, width, height) = (px(corner.0), px(corner.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        let (style, tip) = (style(ink), tipped(tip));
        self.push(format_args!(
            r#"<rect class="{class}"{style} x="{x}" y="{y}" width="{width}" height="{height}">{tip}</rect>"#
        ));
    }

    pub fn circle(&mut self, class: &str, ink: Ink, at: (f64, f64), radius: f64, tip: &str) {
        let (x, y, radius, style, tip) = (px(at.0), px(at.1), px(radius), style(Some(ink)), tipped(tip));
        self.push(format_args!(r#"<circle class="{class}"{style} cx="{x}" cy="{y}" r="{radius}">{tip}</circle>"#));
    }

    /// Through all points; nothing for fewer than two.
    pub fn polyline(&mut self, class: &str, ink: Ink, points: &[(f64, f64)]) {
        if points.len() > 1 {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
            let (points, style) = (points.join(" "), style(Some(ink)));
            self.push(format_args!(r#"<polyline class="{class}"{style} points="{points}"/>"#));
        }
    }

    /// A path in SVG's own words.
    pub fn path(&mut self, class: &str, ink: Option<Ink>, path: &str) {
        if !path.is_empty() {
            let style = style(ink);
            self.push(format_args!(r#"<path class="{class}"{style} d="{path}"/>"#));
        }
    }

    pub fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (px(at.0), px(at.1), escape(text));
        self.push(format_args!(r#"<text class="{class}" text-anchor="{anchor}" x="{x}" y="{y}">{text}</text>"#));
    }

    /// The picture, `height` pixels high.
    pub fn finish(self, id: &str, title: &str, description: &str, width: Width, height: f64) -> String {
        let (wide, high, class, body) = (px(width.px()), px(height), width.class(), self.body);
        let (title, description, id) = (escape(title), escape(description), format!("{id}-{class}"));
        format!(
            "<svg class=\"plot {class}\" viewBox=\"0 0 {wide} {high}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments) {
        writeln!(self.body, "{element}").expect("a string takes all that it is given");
    }
}

/// How wide a text of the plots' size is, about: nothing here can measure a font.
pub fn text_px(text: &str) -> f64 {
    text.chars().count() as f64 * 6.6
}

/// Tenths of a pixel, and never anything that is no number.
pub fn px(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(-1e5, 1e5) } else { 0.0 };
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_string()
}

fn style(ink: Option<Ink>) -> String {
    ink.map_or(String::new(), |ink| format!(r#" style="--ink:{}""#, ink.css()))
}

fn tipped(tip: &str) -> String {
    if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::markup::assert_well_formed;

    #[test]
    fn odd_numbers_and_texts_stay_inside() {
        let mut canvas = Canvas::new();
        canvas.line("grid", (f64::NAN, 1.0), (f64::INFINITY, 2.55));
        canvas.rect("bar", Some(Ink::Slot(11)), (0.0, 0.0), (-4.0, 3.0), "<tip>");
        canvas.text("label", Anchor::End, (1.0, 2.0), "a < b & c");
        canvas.polyline("line", Ink::Ramp(f64::NAN), &[(1.0, 1.0)]);
        let svg = canvas.finish("one", "t<", "d\"", Width::Phone, 100.0);
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("polyline"), "{svg}");
        assert!(svg.contains("var(--c2)") && svg.contains(r#"width="0""#) && svg.contains("a &lt; b &amp; c"), "{svg}");
    }
}
