//! Hex dumps: a strip that shows the layout of the page, then its bytes, each span under its name.

use serde_json::{Value as Json, json};
use splitpoint::inspect::{HexView, Part, Span, escape};

use super::{Paint, Style, padded};

/// Characters of the strip.
const STRIP_WIDTH: usize = 64;
/// Bytes on a line.
const LINE_LEN: usize = 16;
/// Lines of a span that are drawn; of a longer one the first and the last.
const SPAN_LINES_MAX: usize = 6;

/// The letter and colour of a part, and its name in the legend.
fn look(part: Part) -> (char, Style, &'static str) {
    match part {
        Part::Header => ('H', Style::Blue, "header"),
        Part::Cell => ('c', Style::Cyan, "cell"),
        Part::Empty => ('.', Style::Dim, "empty"),
        Part::Free => (' ', Style::Dim, "free"),
        Part::Dead => ('x', Style::Red, "dead"),
        Part::Record => ('r', Style::Yellow, "record"),
        Part::Key => ('k', Style::Green, "key"),
        Part::Value => ('v', Style::Magenta, "value"),
        Part::Words => ('w', Style::Cyan, "words"),
        _ => ('?', Style::Dim, "other"),
    }
}

/// The whole drawing.
pub(crate) fn draw(view: &HexView, paint: Paint) -> String {
    let len = view.bytes.len();
    let heading = format!("{}, {len} bytes from {:#x}", view.name, view.offset);
    let mut text = format!("{}\n", paint.text(Style::Bold, &heading));
    text.push_str(&strip(view, paint));
    for span in &view.spans {
        text.push_str(&span_lines(view, span, paint));
    }
    text
}

/// One letter for each of 64 stretches of the page: what most of it is.
fn strip(view: &HexView, paint: Paint) -> String {
    let len = view.bytes.len();
    if len == 0 {
        return String::new();
    }
    let (mut strip, mut parts) = (String::new(), Vec::new());
    for place in 0..STRIP_WIDTH {
        let (start, end) = (place * len / STRIP_WIDTH, (place + 1) * len / STRIP_WIDTH);
        let overlap =
            |span: &Span| span.range.end.min(end).saturating_sub(span.range.start.max(start));
        let most = view.spans.iter().max_by_key(|span| overlap(span));
        let Some(part) = most.map(|span| span.part) else { continue };
        let (letter, style, _) = look(part);
        strip.push_str(&paint.text(style, &letter.to_string()));
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let legend = parts.into_iter().map(|part| {
        let (letter, style, name) = look(part);
        paint.text(style, &format!("{letter} {name}"))
    });
    format!("  |{strip}|\n   {}\n", legend.collect::<Vec<_>>().join("  "))
}

/// The lines of a span: offset, bytes, and on the first what it is.
fn span_lines(view: &HexView, span: &Span, paint: Paint) -> String {
    let bytes = view.bytes.get(span.range.clone()).unwrap_or_default();
    let (_, style, _) = look(span.part);
    let count = bytes.len().div_ceil(LINE_LEN);
    let is_uniform = bytes.windows(2).all(|pair| pair.first() == pair.last());
    let shown_max = if is_uniform { 2 } else { SPAN_LINES_MAX };
    let mut text = String::new();
    for (number, line) in bytes.chunks(LINE_LEN).enumerate() {
        if number == shown_max - 1 && count > shown_max {
            let left = count - shown_max;
            let lines = if left == 1 { "line" } else { "lines" };
            let what = if is_uniform { "the same" } else { &span.name };
            text.push_str(&format!("          … {left} {lines} of {what} …\n"));
        }
        if number >= shown_max - 1 && number + 1 < count && count > shown_max {
            continue;
        }
        let offset = view.offset + (span.range.start + number * LINE_LEN) as u64;
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = padded(&hex.join(" "), LINE_LEN * 3 - 1);
        let what = match number {
            0 if span.meaning.is_empty() => span.name.clone(),
            0 => format!("{}: {}", span.name, span.meaning),
            _ => String::new(),
        };
        let shown = match span.part {
            Part::Key | Part::Value | Part::Dead => format!(" \"{}\"", escape(line)),
            _ => String::new(),
        };
        let offset = paint.text(Style::Dim, &format!("{offset:08x}"));
        let what = format!("{what}{shown}");
        text.push_str(format!("{offset}  {}  {what}", paint.text(style, &hex)).trim_end());
        text.push('\n');
    }
    text
}

/// The same as JSON: the spans with their bytes.
pub(crate) fn to_json(view: &HexView) -> Json {
    let spans = view.spans.iter().map(|span| {
        json!({
            "offset": view.offset + span.range.start as u64,
            "len": span.range.len(),
            "part": look(span.part).2,
            "name": span.name,
            "meaning": span.meaning,
            "hex": hex::encode(view.bytes.get(span.range.clone()).unwrap_or_default()),
        })
    });
    json!({
        "name": view.name,
        "offset": view.offset,
        "len": view.bytes.len(),
        "spans": spans.collect::<Vec<_>>(),
    })
}
