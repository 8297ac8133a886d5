//! That what pages are drawn with can be read by everybody.

use std::collections::HashMap;

const STYLE: &str = include_str!("style.css");

/// The colours of a block of variables.
fn colours(block: &str) -> HashMap<String, [f64; 3]> {
    let block = block.split('}').next().unwrap();
    let pairs = block.split(';').filter_map(|pair| pair.split_once(':'));
    pairs
        .filter_map(|(name, value)| {
            let digits = value.trim().strip_prefix('#')?;
            let part = |at: usize| f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            let name = name.rsplit("--").next().unwrap().trim().to_owned();
            Some((name, [part(0), part(2), part(4)]))
        })
        .collect()
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] =
        colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_has_the_contrast_that_wcag_asks_for_in_the_light_and_in_the_dark() {
    let blocks: Vec<_> = STYLE.split(":root {").skip(1).map(colours).collect();
    assert_eq!(blocks.len(), 2, "light and dark");
    for colours in blocks {
        for (front, back) in [
            ("text", "back"),
            ("text", "panel"),
            ("muted", "back"),
            ("muted", "panel"),
            ("link", "back"),
            ("link", "panel"),
            ("bad", "back"),
            ("bad", "panel"),
            ("warn", "back"),
            ("warn", "panel"),
            ("good", "back"),
            ("good", "panel"),
            ("on-accent", "accent"),
        ] {
            let found = contrast(colours[front], colours[back]);
            assert!(found >= 4.5, "{front} on {back}: {found:.2}");
        }
        // Pictures, and what shows where the focus is (WCAG 2.2, 1.4.11).
        for (front, back) in
            [("dot", "panel"), ("dot", "window"), ("bad", "window"), ("accent", "back"), ("accent", "panel")]
        {
            let found = contrast(colours[front], colours[back]);
            assert!(found >= 3.0, "{front} on {back}: {found:.2}");
        }
    }
}
