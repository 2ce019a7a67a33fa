//! Charts as SVG text: bars, a stacked bar, a map. Knows nothing of indexes.
//!
//! Colours are classes that the page's style sheet gives a colour, in the light and in the dark.
//! Sizes are in units of the drawing, which the page scales to its width.

use std::fmt::Write;

/// Width of a chart: about that of a phone, so that its words can be read there.
const CHART: f64 = 420.0;
/// Width of a map and of a stacked bar.
const WIDTH: f64 = 640.0;
const LEFT: f64 = 54.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 14.0;

/// Text that HTML takes for text.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A drawing of that height, described for those who cannot see it.
fn drawing(width: f64, height: f64, label: &str, body: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        escape(label)
    )
}

/// A bar of a chart.
pub(crate) struct Bar {
    /// Under it; not every bar needs one.
    pub(crate) label: String,
    pub(crate) count: u64,
    /// What it says when pointed at.
    pub(crate) title: String,
}

/// A step of an axis that is 1, 2 or 5 times a power of ten, four or so to `max`.
fn step(max: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for times in [1, 2, 5] {
            let step = unit.saturating_mul(times);
            if max / step <= 4 {
                return step;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// Bars side by side, with an axis of counts. `x` and `y` say what is counted.
pub(crate) fn bars(bars: &[Bar], x: &str, y: &str) -> String {
    const HEIGHT: f64 = 230.0;
    let max = bars.iter().map(|bar| bar.count).max().unwrap_or_default().max(1);
    let step = step(max);
    let top = max.div_ceil(step) * step;
    let (plot_width, plot_height) = (CHART - LEFT - 8.0, HEIGHT - TOP - BOTTOM);
    let height_of = |count: u64| count as f64 / top as f64 * plot_height;
    let base = HEIGHT - BOTTOM;
    let mut body = String::new();
    for tick in (0..=top).step_by(usize::try_from(step).unwrap_or(1)) {
        let at = base - height_of(tick);
        let _ = write!(
            body,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            CHART - 8.0,
            LEFT - 7.0,
            at + 4.0,
            short(tick)
        );
    }
    let width = plot_width / bars.len().max(1) as f64;
    for (i, bar) in bars.iter().enumerate() {
        let left = LEFT + i as f64 * width;
        // What is there can be seen.
        let height = if bar.count > 0 { height_of(bar.count).max(1.5) } else { 0.0 };
        let _ = write!(
            body,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
             rx=\"2\"><title>{}</title></rect>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left + width * 0.08,
            base - height,
            width * 0.84,
            escape(&bar.title),
            left + width / 2.0,
            base + 16.0,
            escape(&bar.label)
        );
    }
    let _ = write!(
        body,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text class=\"axis\" x=\"12\" y=\"{:.1}\" text-anchor=\"middle\" \
         transform=\"rotate(-90 12 {:.1})\">{}</text>",
        LEFT + plot_width / 2.0,
        HEIGHT - 6.0,
        escape(x),
        TOP + plot_height / 2.0,
        TOP + plot_height / 2.0,
        escape(y)
    );
    drawing(CHART, HEIGHT, &format!("{y} by {x}"), &body)
}

/// `12`, `3.4k`, `5M`.
fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}k", number as f64 / 1e3),
        _ => format!("{}M", number as f64 / 1e6),
    }
}

/// A part of a whole.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Of the style sheet.
    pub(crate) class: &'static str,
    pub(crate) size: u64,
}

/// One bar, cut into parts.
pub(crate) fn stacked(parts: &[Part], label: &str, height: f64) -> String {
    let total = parts.iter().map(|part| part.size).sum::<u64>().max(1) as f64;
    let (mut body, mut left) = (String::new(), 0.0);
    for part in parts.iter().filter(|part| part.size > 0) {
        let width = part.size as f64 / total * WIDTH;
        let _ = write!(
            body,
            "<rect class=\"{}\" x=\"{left:.2}\" y=\"0\" width=\"{width:.2}\" height=\"{height}\">\
             <title>{}: {:.1} %</title></rect>",
            part.class,
            escape(part.name),
            part.size as f64 / total * 100.0
        );
        left += width;
    }
    drawing(WIDTH, height, label, &body)
}

/// A map of small squares, row by row, each of a class.
pub(crate) fn map(classes: &[&'static str], columns: usize, label: &str) -> String {
    let size = WIDTH / columns as f64;
    let gap = size * 0.12;
    let mut body = String::new();
    for (row, cells) in classes.chunks(columns).enumerate() {
        for (column, class) in cells.iter().enumerate() {
            let _ = write!(
                body,
                "<rect class=\"{class}\" x=\"{:.2}\" y=\"{:.2}\" width=\"{side:.2}\" \
                 height=\"{side:.2}\"/>",
                column as f64 * size + gap / 2.0,
                row as f64 * size + gap / 2.0,
                side = size - gap
            );
        }
    }
    drawing(WIDTH, classes.len().div_ceil(columns) as f64 * size, label, &body)
}

#[cfg(test)]
mod tests {
    use super::{Bar, bars, escape, map, short, stacked, step};

    #[test]
    fn axes_have_round_steps() {
        for (max, expected) in [(1, 1), (4, 1), (5, 2), (10, 5), (99, 20), (1_234, 500)] {
            assert_eq!(step(max), expected, "{max}");
        }
        assert!(step(u64::MAX) > 1 << 60);
        assert_eq!((short(999), short(2_500)), ("999".into(), "2.5k".into()));
    }

    #[test]
    fn nothing_breaks_out_of_a_drawing() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        let bar = |count| Bar { label: "<".into(), count, title: "</svg>".into() };
        let drawn = bars(&[bar(0), bar(7)], "x<", "y");
        assert_eq!(drawn.matches("</svg>").count(), 1);
        for empty in [bars(&[], "x", "y"), map(&[], 10, "m"), stacked(&[], "s", 10.0)] {
            assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
        }
    }
}
