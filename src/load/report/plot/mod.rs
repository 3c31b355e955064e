//! door: plots as SVG, written by hand: lines, stacked bars, dots in time
//!
//! A plot is plain data; `draw` gives its SVG for a width, so that a page holds one for screens and one for phones. Colours
//! are those of the page's style sheet. Nothing here knows what a run is.

mod axis;
mod bars;
mod canvas;
mod dots;
mod lines;

pub use axis::{Axis, nines};
pub use bars::{Bar, Bars, Group, Part};
pub use canvas::{Ink, Width};
pub use dots::{Band, Dots};
pub use lines::{Bound, Lines, Series};

/// Any of them.
pub enum Plot {
    Lines(Lines),
    Bars(Bars),
    Dots(Dots),
}

impl Plot {
    /// The SVG. `id` must be its own on the page; `title` and `description` are for those who do not see it.
    pub fn draw(&self, id: &str, title: &str, description: &str, width: Width) -> String {
        match self {
            Self::Lines(lines) => lines.draw(id, title, description, width),
            Self::Bars(bars) => bars.draw(id, title, description, width),
            Self::Dots(dots) => dots.draw(id, title, description, width),
        }
    }
}
