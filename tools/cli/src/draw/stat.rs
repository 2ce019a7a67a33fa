//! The facts of a file as text: bytes by use with bars, histograms beside what chance would give.

use serde_json::{Map, Value as Json, json};
use splitpoint::inspect::{FileStat, Histogram, Share};

use super::{Paint, Style, bar, padded};
use crate::draw::report::finding_to_json;
use crate::human;

/// Lines of a histogram.
const LINES_MAX: u64 = 24;
/// Characters of a bar.
const BAR_WIDTH: usize = 28;

/// Everything, in sections.
pub(crate) fn draw(stat: &FileStat, paint: Paint) -> String {
    let mut text = facts(stat, paint);
    text.push_str(&heading("The file by kind of page", paint));
    text.push_str(&shares(stat, &stat.pages, stat.file_len, paint));
    let inside = stat.contents.iter().map(|share| share.bytes).sum();
    if inside > 0 {
        text.push_str(&heading("Inside bucket, overflow and value pages", paint));
        text.push_str(&shares(stat, &stat.contents, inside, paint));
    }
    text.push_str(&heading("Records in a bucket (│ what chance would give)", paint));
    text.push_str(&histogram(&stat.buckets, "bucket", paint));
    text.push_str(&heading("Overflow pages of a run of 16 buckets (│ chance)", paint));
    text.push_str(&histogram(&stat.chains, "run", paint));
    text.push_str(&damage(stat, paint));
    let advice = paint.text(Style::Bold, "Advice:");
    text.push_str(&format!("\n{advice} {}\n", stat.advice()));
    text
}

fn heading(words: &str, paint: Paint) -> String {
    format!("\n{}\n", paint.text(Style::Bold, words))
}

fn facts(stat: &FileStat, paint: Paint) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("file", stat.file.display().to_string()),
        ("length", format!("{} ({})", human::count(stat.file_len), human::bytes(stat.file_len))),
        ("records", human::count(stat.record_count)),
        ("bytes a record", format!("{:.1}", stat.bytes_per_record())),
        ("page size", human::count(stat.page_size as u64)),
        ("layout", layout(stat)),
        ("checkpoint", checkpoint(stat)),
        ("longest chain", longest(stat)),
        ("in overflow", format!("{:.2} % of the records", 100.0 * stat.overflow_share())),
        ("pages a hit", format!("{:.3}", stat.pages_per_hit)),
        ("pages a miss", format!("{:.3}", stat.pages_per_miss)),
    ];
    if stat.large_record_count > 0 {
        lines.push(("large records", human::count(stat.large_record_count)));
    }
    let line = |(name, words): (&str, String)| {
        format!("{}  {words}\n", paint.text(Style::Cyan, &padded(name, 14)))
    };
    lines.into_iter().map(line).collect()
}

fn layout(stat: &FileStat) -> String {
    if stat.next_bucket_count == 0 {
        return human::counted(stat.bucket_count, "bucket");
    }
    let current = human::counted(stat.bucket_count, "bucket");
    let next = human::count(stat.next_bucket_count);
    let come = 100.0 * stat.splitpoint as f64 / 2.0_f64.powi(64);
    format!("{current} on the way to {next}, splitpoint {:#018x} ({come:.1} %)", stat.splitpoint)
}

fn checkpoint(stat: &FileStat) -> String {
    match stat.is_clean {
        true => format!("generation {}, closed clean", stat.generation),
        false => format!(
            "generation {}; later changes are in the log and not counted here",
            stat.generation
        ),
    }
}

fn longest(stat: &FileStat) -> String {
    match stat.longest_chain {
        0 => "none".to_owned(),
        1 => format!("1 page, of run {}", stat.longest_chain_run),
        pages => format!("{pages} pages, of run {}", stat.longest_chain_run),
    }
}

fn shares(stat: &FileStat, shares: &[Share], sum: u64, paint: Paint) -> String {
    let width = human::count(sum).len();
    let line = |name: &str, bytes: u64| {
        let share = stat.share_of_file(bytes);
        let bar = paint.text(Style::Blue, &bar(share, BAR_WIDTH));
        let line =
            format!("  {name:20} {:>width$} {:>6.2} %  {bar}", human::count(bytes), 100.0 * share);
        format!("{}\n", line.trim_end())
    };
    let used = shares.iter().filter(|share| share.bytes > 0);
    let mut text: String =
        used.map(|share| line(&share.name.replace('_', " "), share.bytes)).collect();
    text.push_str(&line("sum", sum));
    text
}

/// Rows put together, so that they fit: values from, to, count, expected.
fn binned(histogram: &Histogram) -> Vec<(u64, u64, u64, f64)> {
    let first = histogram.rows.first().map_or(0, |row| row.value);
    let last = histogram.rows.last().map_or(0, |row| row.value);
    let step = (last - first + 1).div_ceil(LINES_MAX).max(1);
    let mut bins: Vec<(u64, u64, u64, f64)> = Vec::new();
    for row in &histogram.rows {
        let start = first + (row.value - first) / step * step;
        match bins.last_mut() {
            Some(bin) if bin.0 == start => {
                bin.2 += row.count;
                bin.3 += row.expected;
            }
            _ => bins.push((start, start + step - 1, row.count, row.expected)),
        }
    }
    // Those at the ends that nobody has are no news.
    bins.retain(|bin| bin.2 > 0 || bin.3 >= 0.5);
    bins
}

fn histogram(histogram: &Histogram, what: &str, paint: Paint) -> String {
    let bins = binned(histogram);
    let most = bins.iter().map(|bin| bin.3.max(bin.2 as f64)).fold(1.0, f64::max);
    let mut text = String::new();
    for (start, end, count, expected) in bins {
        let name = if start == end { format!("{start}") } else { format!("{start} to {end}") };
        let drawn = bar(count as f64 / most, BAR_WIDTH);
        let marked = with_mark(&drawn, expected / most, paint);
        text.push_str(&format!(
            "  {name:>14}  {marked}  {:>11} {what}{}, {:>11} by chance\n",
            human::count(count),
            if count == 1 { " " } else { "s" },
            rounded(expected),
        ));
    }
    text
}

fn rounded(expected: f64) -> String {
    if expected < 10.0 { format!("{expected:.1}") } else { format!("{expected:.0}") }
}

/// A bar with a mark where chance would end it.
fn with_mark(drawn: &str, share: f64, paint: Paint) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "at most the width")]
    #[allow(clippy::cast_sign_loss, reason = "clamped to 0 and above")]
    let at = (share.clamp(0.0, 1.0) * BAR_WIDTH as f64).round() as usize;
    let cells = padded(drawn, BAR_WIDTH + 1);
    let (mut before, mut behind) = (String::new(), String::new());
    for (place, letter) in cells.chars().enumerate() {
        if place < at {
            before.push(letter);
        } else if place > at {
            behind.push(letter);
        }
    }
    let (before, behind) = (paint.text(Style::Blue, &before), paint.text(Style::Blue, &behind));
    format!("{before}{}{behind}", paint.text(Style::Yellow, "│"))
}

fn damage(stat: &FileStat, paint: Paint) -> String {
    let mut text = String::new();
    if stat.check.is_overtaken {
        text.push_str("\na writer moved on at each look: these figures are of several moments\n");
    } else if stat.check.finding_count() > 0 {
        let count = human::count(stat.check.finding_count());
        let words = format!("{count} findings; `splitpoint check` lists them");
        text.push_str(&format!("\n{}\n", paint.text(Style::Red, &words)));
    }
    text
}

/// Everything as JSON.
pub(crate) fn to_json(stat: &FileStat) -> Json {
    let shares = |shares: &[Share]| {
        let all = shares.iter().map(|share| (share.name.to_owned(), json!(share.bytes)));
        Json::Object(all.collect::<Map<_, _>>())
    };
    let rows = |histogram: &Histogram| {
        let all = histogram.rows.iter();
        let row = |row: &splitpoint::inspect::Row| json!({ "value": row.value, "count": row.count, "expected": row.expected });
        all.map(row).collect::<Vec<_>>()
    };
    json!({
        "file": stat.file.to_string_lossy(),
        "file_len": stat.file_len,
        "page_size": stat.page_size,
        "generation": stat.generation,
        "clean": stat.is_clean,
        "record_count": stat.record_count,
        "bucket_count": stat.bucket_count,
        "next_bucket_count": stat.next_bucket_count,
        "splitpoint": stat.splitpoint,
        "overflow_record_count": stat.overflow_record_count,
        "large_record_count": stat.large_record_count,
        "bytes_per_record": stat.bytes_per_record(),
        "overflow_share": stat.overflow_share(),
        "longest_chain": stat.longest_chain,
        "longest_chain_run": stat.longest_chain_run,
        "pages_per_hit": stat.pages_per_hit,
        "pages_per_miss": stat.pages_per_miss,
        "pages": shares(&stat.pages),
        "contents": shares(&stat.contents),
        "buckets": rows(&stat.buckets),
        "chains": rows(&stat.chains),
        "reloaded_len": stat.reloaded_len,
        "advice": stat.advice(),
        "overtaken": stat.check.is_overtaken,
        "findings": stat.check.findings.iter().map(finding_to_json).collect::<Vec<_>>(),
    })
}

/// The names and numbers of the facts, as a monitoring system takes them.
pub(crate) fn prometheus(stat: &FileStat) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, rows: &[(String, f64)]| {
        text.push_str(&format!(
            "# HELP splitpoint_{name} {help}\n# TYPE splitpoint_{name} gauge\n"
        ));
        for (labels, value) in rows {
            text.push_str(&format!("splitpoint_{name}{{{labels}}} {value}\n"));
        }
    };
    let file = format!("file=\"{}\"", label(&stat.file.to_string_lossy()));
    let one = |value: f64| vec![(file.clone(), value)];
    let by = |shares: &[Share], key: &str| -> Vec<(String, f64)> {
        let row = |share: &Share| (format!("{file},{key}=\"{}\"", share.name), share.bytes as f64);
        shares.iter().map(row).collect()
    };
    metric("file_bytes", "Length of the file.", &one(stat.file_len as f64));
    metric(
        "pages_bytes",
        "The file by kind of page; the sum is its length.",
        &by(&stat.pages, "kind"),
    );
    let help = "Inside bucket, overflow and value pages, by use.";
    metric("contents_bytes", help, &by(&stat.contents, "use"));
    for (name, help, value) in [
        ("records", "Records at the last checkpoint.", stat.record_count as f64),
        ("overflow_records", "Records in overflow pages.", stat.overflow_record_count as f64),
        ("large_records", "Records in value pages.", stat.large_record_count as f64),
        ("buckets", "Buckets of the current layout.", stat.bucket_count as f64),
        ("next_buckets", "Buckets of the next layout, or 0.", stat.next_bucket_count as f64),
        ("sweep_ratio", "How far the sweep has come.", stat.splitpoint as f64 / 2.0_f64.powi(64)),
        ("generation", "Number of the last checkpoint.", stat.generation as f64),
        ("clean", "1 if the file was closed clean.", f64::from(u8::from(stat.is_clean))),
        ("longest_chain_pages", "Pages of the longest chain.", stat.longest_chain as f64),
        ("hit_pages", "Pages that a hit reads on average.", stat.pages_per_hit),
        ("miss_pages", "Pages that a miss reads on average.", stat.pages_per_miss),
        ("findings", "Broken promises found.", stat.check.finding_count() as f64),
        ("overtaken", "1 if a writer was too fast.", f64::from(u8::from(stat.check.is_overtaken))),
    ] {
        metric(name, help, &one(value));
    }
    text
}

/// A label's value as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
