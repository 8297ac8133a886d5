use super::html::Html;
use crate::evidence::Beat;

/// Of the pictures, in their own units.
const WIDTH: f64 = 720.0;
const MARGIN: f64 = 12.0;
/// The strip of dots, and the histogram.
const STRIP_HEIGHT: f64 = 72.0;
const BARS_HEIGHT: f64 = 180.0;
/// Room below for the scale.
const FOOT: f64 = 36.0;
/// More gaps than any finding has.
const GAPS_MAX: usize = 256;
/// Bars of the histogram.
const BARS: usize = 40;
/// Shorter and longer gaps are drawn as these, in seconds.
const GAP_MIN: f64 = 0.01;
const GAP_MAX: f64 = 1e9;

/// Draws a beat: when it was asked, as dots on a line of time; below, how often each interval came, with the fitted period as a
/// line and the window it concentrates in shaded.
pub(super) fn beat(page: &mut Html, beat: &Beat) {
    let strip = beat.strip.get(beat.strip.len().saturating_sub(GAPS_MAX)..).unwrap_or_default();
    let gaps: Vec<f64> = strip.iter().map(|gap| seen(*gap)).collect();
    if gaps.is_empty() {
        return;
    }
    dots(page, &gaps);
    histogram(page, &gaps, (seen(beat.low_seconds), seen(beat.period_seconds), seen(beat.high_seconds)));
}

fn seen(gap: f64) -> f64 {
    if gap.is_finite() { gap.clamp(GAP_MIN, GAP_MAX) } else { GAP_MAX }
}

/// When each of the last requests came, the newest on the right.
fn dots(page: &mut Html, gaps: &[f64]) {
    let whole: f64 = gaps.iter().sum();
    let middle = (STRIP_HEIGHT - FOOT) / 2.0 + 4.0;
    page.markup("<figure><svg viewBox=\"0 0 720 72\" role=\"img\" aria-labelledby=\"dots-said\">");
    page.markup("<line class=\"axis\" x1=\"12\" x2=\"708\" y1=\"").length(middle).markup("\" y2=\"").length(middle);
    page.markup("\"/>");
    let mut at = 0.0;
    for gap in std::iter::once(0.0).chain(gaps.iter().copied()) {
        at += gap;
        let x = MARGIN + at / whole * (WIDTH - 2.0 * MARGIN);
        page.markup("<circle class=\"dot\" r=\"3.5\" cx=\"").length(x).markup("\" cy=\"").length(middle).markup("\"/>");
    }
    page.markup("<text x=\"12\" y=\"66\">−").text(&span(whole)).markup("</text>");
    page.markup("<text x=\"708\" y=\"66\" text-anchor=\"end\">0</text></svg><figcaption id=\"dots-said\">");
    page.words(("When it was asked: ", "要求の時刻：")).number(gaps.len() as u64 + 1);
    page.words((" requests in ", "件、期間 "))
        .text(&span(whole))
        .words((", the newest on the right", "（右が新しい）"));
    page.markup("</figcaption></figure>");
}

/// How many intervals fall between which lengths, on a scale on which each factor is as long as another.
struct Bars {
    low: f64,
    /// Of the logarithm.
    width: f64,
    counts: [u32; BARS],
}

impl Bars {
    fn of(gaps: &[f64], (low, high): (f64, f64)) -> Self {
        let ends = gaps.iter().fold((low, high), |(low, high), gap| (low.min(*gap), high.max(*gap)));
        let (from, to) = ((ends.0 / 1.5).ln(), (ends.1 * 1.5).ln());
        let mut bars = Self { low: from, width: (to - from) / BARS as f64, counts: [0; BARS] };
        for gap in gaps {
            let place = ((gap.ln() - bars.low) / bars.width).floor().clamp(0.0, BARS as f64 - 1.0);
            if let Some(count) = bars.counts.get_mut(place as usize) {
                *count += 1;
            }
        }
        bars
    }

    fn x(&self, gap: f64) -> f64 {
        let share = ((gap.ln() - self.low) / (self.width * BARS as f64)).clamp(0.0, 1.0);
        MARGIN + share * (WIDTH - 2.0 * MARGIN)
    }
}

fn histogram(page: &mut Html, gaps: &[f64], (low, period, high): (f64, f64, f64)) {
    let bars = Bars::of(gaps, (low, high));
    let most = bars.counts.iter().copied().max().unwrap_or(1).max(1);
    let floor = BARS_HEIGHT - FOOT;
    page.markup("<figure><svg viewBox=\"0 0 720 180\" role=\"img\" aria-labelledby=\"bars-said\">");
    page.markup("<rect class=\"window\" y=\"12\" x=\"").length(bars.x(low)).markup("\" width=\"");
    page.length((bars.x(high) - bars.x(low)).max(2.0)).markup("\" height=\"").length(floor - MARGIN).markup("\"/>");
    let step = (WIDTH - 2.0 * MARGIN) / BARS as f64;
    for (place, count) in bars.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = f64::from(*count) / f64::from(most) * (floor - 2.0 * MARGIN);
        page.markup("<rect class=\"bar\" x=\"").length(MARGIN + place as f64 * step + 1.0).markup("\" width=\"");
        page.length(step - 2.0).markup("\" y=\"").length(floor - height).markup("\" height=\"").length(height);
        page.markup("\"/>");
    }
    page.markup("<line class=\"axis\" x1=\"12\" x2=\"708\" y1=\"144\" y2=\"144\"/>");
    page.markup("<line class=\"period\" y1=\"12\" y2=\"144\" x1=\"").length(bars.x(period)).markup("\" x2=\"");
    page.length(bars.x(period)).markup("\"/><text text-anchor=\"middle\" y=\"171\" x=\"");
    page.length(bars.x(period).clamp(60.0, WIDTH - 60.0)).markup("\">").text(&span(period)).markup("</text>");
    page.markup("</svg><figcaption id=\"bars-said\">");
    page.words(("How often each interval came; the line is the fitted period, ", "間隔の度数分布。線は推定周期 "));
    page.text(&span(period)).words(("; shaded: ", "、帯は ")).text(&span(low)).markup(" – ").text(&span(high));
    page.markup("</figcaption></figure>");
}

/// A length of time in few characters.
fn span(seconds: f64) -> String {
    let (unit, name) = match seconds {
        ..120.0 => (1.0, "s"),
        ..7_200.0 => (60.0, "min"),
        ..172_800.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    let number = format!("{:.1}", seconds / unit);
    format!("{} {name}", number.strip_suffix(".0").unwrap_or(&number))
}

#[cfg(test)]
mod tests {
    use super::super::html::Language;
    use super::*;

    fn drawn(strip: &[f64]) -> String {
        let mut page = Html::new(Language::English);
        let beat = Beat {
            period_seconds: 60.0,
            low_seconds: 58.0,
            high_seconds: 62.0,
            hits: 3,
            gaps: 4,
            multiples: 1,
            strip: strip.to_vec(),
        };
        super::beat(&mut page, &beat);
        page.into_text()
    }

    #[test]
    fn each_request_is_a_dot_and_each_interval_is_in_a_bar_on_its_side_of_the_period() {
        let text = drawn(&[60.0, 60.5, 59.5, 600.0]);
        assert_eq!(text.matches("<circle").count(), 5);
        assert!(text.contains("5 requests in 13 min") && text.contains("fitted period, 60 s"), "{text}");
        let bars = Bars::of(&[60.0, 60.5, 59.5, 600.0], (58.0, 62.0));
        assert_eq!(bars.counts.iter().sum::<u32>(), 4);
        assert_eq!(bars.counts.last(), Some(&0), "there is room around");
        assert!(bars.x(58.0) < bars.x(60.0) && bars.x(60.0) < bars.x(62.0) && bars.x(62.0) < bars.x(600.0));
    }

    #[test]
    fn what_is_no_length_of_time_draws_no_picture_that_breaks() {
        assert_eq!(drawn(&[]), "");
        let text = drawn(&[f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(drawn(&vec![1.0; 10_000]).matches("<circle").count(), GAPS_MAX + 1);
    }
}
