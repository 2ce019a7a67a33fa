//! The way of a lookup as a short story.

use splitpoint::inspect::Report;

use super::{Paint, Style};

/// The value of a field of this part alone.
fn field(report: &Report, name: &str) -> String {
    let found = report.fields.iter().find(|field| field.name == name);
    found.map(|field| field.value.to_string()).unwrap_or_default()
}

/// The steps, one a line, with what each looked at below it.
pub(crate) fn draw(report: &Report, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.text(Style::Bold, &report.name));
    let mut step = |name: &str, words: &str| {
        let name = paint.text(Style::Cyan, &format!("{name:10}"));
        text.push_str(&format!("  {name} {words}\n"));
    };
    let of = |name: &str| field(report, name);
    step("hash", &format!("{}; its tag is {}", of("hash"), of("tag")));
    step("layout", &format!("{}, by the splitpoint {}", of("layout"), of("splitpoint")));
    let bucket = format!("{} of {}, in run {}", of("bucket"), of("bucket_count"), of("run"));
    step("bucket", &bucket);
    for part in &report.children {
        if part.name.starts_with("directory") {
            let way = part.children.iter().map(|node| {
                format!("{}, word {}: {}", node.name, field(node, "word"), field(node, "pointer"))
            });
            let words = way.collect::<Vec<_>>().join("; then ");
            let words = if words.is_empty() { "no page".to_owned() } else { words };
            step(if part.name.contains("overflow") { "chain" } else { "directory" }, &words);
        } else {
            page(part, &mut step);
        }
        for finding in findings(part) {
            step("!", &paint.text(Style::Red, &finding));
        }
    }
    for finding in &report.findings {
        step("!", &paint.text(Style::Red, &finding.to_string()));
    }
    if report.is_overtaken {
        step("!", "a writer moved on at each look; look again when it rests");
    }
    let touched = format!(
        "{} bucket and overflow pages, {} value pages; {} cache lines",
        of("pages_read"),
        of("value_pages_read"),
        of("cache_lines")
    );
    step("touched", &touched);
    if !of("log").is_empty() {
        step("log", &of("log"));
    }
    let value = [of("value"), of("bytes_found")].concat();
    let result = of("result");
    let style = match result.as_str() {
        "found" => Style::Green,
        "absent" => Style::Yellow,
        _ => Style::Red,
    };
    let colon = if value.is_empty() { "" } else { ": " };
    step("result", &format!("{}{colon}{value}", paint.text(style, &result)));
    text
}

fn page(part: &Report, step: &mut impl FnMut(&str, &str)) {
    let of = |name: &str| field(part, name);
    let cells = format!(
        "{} of {} (home cell {}, spill {})",
        of("cells_searched"),
        of("cell_count"),
        of("home_cell"),
        of("spill")
    );
    step("page", &format!("{}; cells {cells}", part.name));
    for candidate in part.children.iter().filter(|child| child.name.starts_with("candidate")) {
        let key = [field(candidate, "key"), field(candidate, "hash")].concat();
        step("", &format!("{}: {key}: {}", candidate.name, field(candidate, "comparison")));
    }
    if of("candidates") == "0" {
        step("", "no slot has the tag");
    }
    if !of("overflow_filter").is_empty() {
        step("", &format!("the overflow filter {}", of("overflow_filter")));
    }
}

fn findings(part: &Report) -> Vec<String> {
    let own = part.findings.iter().map(ToString::to_string);
    own.chain(part.children.iter().flat_map(findings)).collect()
}
