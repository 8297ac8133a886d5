use std::fmt::Write as _;

use crate::evidence::{Beat, Span};

use super::words::both;

/// Of the picture, in its own units.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 160.0;
/// Left of the dots stand the marks of the scale.
const LEFT: f64 = 48.0;
const MARGIN: f64 = 8.0;
/// Marks of the scale stand no nearer to each other.
const APART: f64 = 16.0;
/// Shorter gaps, which a logarithm cannot show, are shown as this, in seconds.
const GAP_MIN: f64 = 0.01;
/// More gaps than any finding has.
const GAPS_MAX: usize = 256;

/// Marks of the scale, in seconds.
const MARKS: [f64; 18] = [
    0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 36_000.0, 86_400.0,
    259_200.0, 864_000.0,
];

/// A scale from bottom to top on which each factor is as long as another.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: f64,
    span: f64,
}

impl Scale {
    /// Over all of these, with room around.
    fn over(gaps: impl Iterator<Item = f64>) -> Self {
        let ends = gaps.fold((f64::INFINITY, 0.0_f64), |(low, high), gap| (low.min(gap), high.max(gap)));
        let (low, high) = if ends.0 <= ends.1 { ends } else { (1.0, 1.0) };
        let (low, high) = ((low / 2.0).ln(), (high * 2.0).ln());
        Self { low, span: high - low }
    }

    fn y(self, gap: f64) -> f64 {
        let share = ((gap.ln() - self.low) / self.span).clamp(0.0, 1.0);
        MARGIN + (1.0 - share) * (HEIGHT - 2.0 * MARGIN)
    }

    fn holds(self, gap: f64) -> bool {
        (self.low..=self.low + self.span).contains(&gap.ln())
    }
}

/// The last gaps from the oldest to the newest, each as a dot; the window that they concentrate in is shaded.
pub(super) fn picture(page: &mut String, beat: &Beat) {
    let seen = |gap: f64| if gap.is_finite() { gap.clamp(GAP_MIN, 1e12) } else { 1e12 };
    let strip = beat.strip.get(beat.strip.len().saturating_sub(GAPS_MAX)..).unwrap_or_default();
    let gaps: Vec<f64> = strip.iter().map(|gap| seen(*gap)).collect();
    let (low, high) = (seen(beat.low_seconds), seen(beat.high_seconds));
    let scale = Scale::over(gaps.iter().copied().chain([low, high]));
    let english =
        format!("The last {} gaps, the oldest on the left; shaded: {} to {}", gaps.len(), Span(low), Span(high));
    let (from, to) = (Span(low).in_japanese(), Span(high).in_japanese());
    let japanese = format!("直近{}回の間隔（左が古い）。帯は{from}から{to}", gaps.len());
    let right = WIDTH - MARGIN;
    let _ = writeln!(
        page,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{english}\">\n\
         <rect class=\"window\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{}\" height=\"{:.1}\"/>",
        scale.y(high),
        right - LEFT,
        (scale.y(low) - scale.y(high)).max(1.0),
    );
    let mut last = f64::INFINITY;
    for mark in MARKS.into_iter().filter(|mark| scale.holds(*mark)) {
        let y = scale.y(mark);
        if last - y >= APART {
            last = y;
            let _ = writeln!(
                page,
                "<line class=\"mark\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                mark_in_words(mark),
            );
        }
    }
    let step = (right - LEFT) / gaps.len().max(1) as f64;
    for (place, gap) in gaps.iter().enumerate() {
        let class = if (low..=high).contains(gap) { "in" } else { "out" };
        let x = LEFT + (place as f64 + 0.5) * step;
        let _ = writeln!(page, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\"/>", scale.y(*gap));
    }
    let _ = writeln!(page, "</svg>\n<figcaption>{}</figcaption>\n</figure>", both(&english, &japanese));
}

/// A mark, which is a round number of some unit.
fn mark_in_words(seconds: f64) -> String {
    let (unit, name) = match seconds {
        ..60.0 => (1.0, "s"),
        ..3_600.0 => (60.0, "min"),
        ..86_400.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    format!("{} {name}", seconds / unit)
}
