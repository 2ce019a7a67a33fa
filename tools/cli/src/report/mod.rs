//! The page of `report`: what a map of a file says, in pictures. One HTML text, without scripts,
//! that asks nothing of the network.

mod svg;

use std::fmt::Write;

use splitpoint::salvage::{FileMap, PageFill, PageUse};

use crate::human;
use svg::{Bar, Part, escape};

/// Squares of the map at most; a larger file has several pages in each.
const CELLS_MAX: usize = 2048;
/// Losses that are listed.
const LOSSES_MAX: usize = 100;
/// Bars of the fill histogram.
const FILL_BARS: usize = 20;
/// Kinds of pages: name, class of the style sheet. What wants to be seen comes last.
const USES: [(PageUse, &str, &str); 8] = [
    (PageUse::Free, "free pages", "free"),
    (PageUse::Bucket, "buckets", "bucket"),
    (PageUse::Value, "large records", "value"),
    (PageUse::Overflow, "overflow", "overflow"),
    (PageUse::Directory, "directories", "directory"),
    (PageUse::Bitmap, "bitmap", "bitmap"),
    (PageUse::Meta, "meta pages", "meta"),
    (PageUse::Lost, "lost pages", "lost"),
];

/// The whole page.
pub(crate) fn page(map: &FileMap) -> String {
    let name = map.file.file_name().unwrap_or(map.file.as_os_str()).to_string_lossy();
    let title = escape(&name);
    let mut cards = String::new();
    for card in [losses(map), space(map), fill(map), chains(map)] {
        cards.push_str(&section(card));
    }
    let _ =
        write!(cards, "<div class=\"column\">{}{}</div>", section(sweep(map)), section(log(map)));
    cards.push_str(&section(page_map(map)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · splitpoint</title><style>\n{}</style></head>\n<body><main>\
         <h1>{title}</h1>{}\n{}\n<div class=\"cards\">\n{cards}</div>\
         <footer>{} · splitpoint {}</footer></main></body></html>\n",
        include_str!("style.css"),
        verdict(map),
        tiles(map),
        escape(&map.file.to_string_lossy()),
        env!("CARGO_PKG_VERSION")
    )
}

/// A card; nothing if there is nothing in it.
fn section((heading, words, body, is_wide): Card) -> String {
    if body.is_empty() {
        return String::new();
    }
    let class = if is_wide { " class=\"wide\"" } else { "" };
    format!("<section{class}><h2>{heading}</h2><p>{words}</p>{body}</section>\n")
}

fn verdict(map: &FileMap) -> String {
    let state = if map.is_clean { "closed clean" } else { "open, or not closed" };
    let damage = match map.losses.len() {
        0 => "<b>nothing is lost</b>".to_owned(),
        1 => "<b class=\"bad\">1 thing is not what it should be</b>".to_owned(),
        count => format!("<b class=\"bad\">{count} things are not what they should be</b>"),
    };
    format!("<p class=\"verdict\">Checkpoint {}, {state}; {damage}.</p>", map.generation)
}

fn tiles(map: &FileMap) -> String {
    let sum = |pages: &[PageFill], of: fn(&PageFill) -> u64| pages.iter().map(of).sum::<u64>();
    let live = sum(&map.buckets, |page| page.live_len);
    let room = map.buckets.len() as u64 * map.page_size;
    let fill = percent(live, room);
    let in_overflow = sum(&map.overflow, |page| page.record_count);
    let each = map.file_len.checked_div(map.record_count).unwrap_or_default();
    let tiles = [
        (human::count(map.record_count), "records"),
        (human::bytes(map.file_len), "file"),
        (human::bytes(each), "of file a record"),
        (human::count(map.bucket_count.max(map.next_bucket_count)), "buckets"),
        (fill, "of bucket pages are records"),
        (percent(in_overflow, map.record_count), "of records in overflow"),
    ];
    let mut out = String::from("<div class=\"tiles\">");
    for (number, what) in tiles {
        let _ = write!(out, "<div><b>{number}</b><span>{what}</span></div>");
    }
    out + "</div>"
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", part as f64 / whole as f64 * 100.0),
    }
}

type Card = (&'static str, String, String, bool);

/// Bytes by use; they add up to the file's length.
fn space(map: &FileMap) -> Card {
    let sum = |of: fn(&PageFill) -> u64| map.buckets.iter().chain(&map.overflow).map(of).sum();
    let (live, cells): (u64, u64) = (sum(|page| page.live_len), sum(|page| page.cells_len));
    let pages = (map.buckets.len() + map.overflow.len()) as u64 * map.page_size;
    let mut parts = vec![
        Part { name: "records", class: "bucket", size: live },
        Part { name: "tags and slots", class: "cells", size: cells },
        Part { name: "free in pages", class: "inner", size: pages.saturating_sub(live + cells) },
    ];
    for (page_use, name, class) in USES {
        if !matches!(page_use, PageUse::Bucket | PageUse::Overflow) {
            let count = map.pages.iter().filter(|page| **page == page_use).count() as u64;
            parts.push(Part { name, class, size: count * map.page_size });
        }
    }
    let rest = map.file_len % map.page_size;
    parts.push(Part { name: "less than a page at the end", class: "lost", size: rest });
    parts.retain(|part| part.size > 0);
    let mut table = String::from("<table>");
    for part in &parts {
        let _ = write!(
            table,
            "<tr><td><i class=\"{}\"></i>{}</td><td>{}</td><td>{}</td></tr>",
            part.class,
            part.name,
            human::bytes(part.size),
            percent(part.size, map.file_len)
        );
    }
    let drawn = svg::stacked(&parts, "space by use", 34.0);
    let body = format!("<div class=\"stack\">{drawn}</div>{table}</table>");
    ("Space by use", format!("{} in all.", human::bytes(map.file_len)), body, false)
}

fn fill(map: &FileMap) -> Card {
    let mut counts = [0_u64; FILL_BARS];
    for page in &map.buckets {
        let used = page.live_len + page.cells_len;
        let at = (used * FILL_BARS as u64).checked_div(map.page_size).unwrap_or_default();
        // A full page is in the last bar.
        let at = usize::try_from(at).unwrap_or(FILL_BARS).min(FILL_BARS - 1);
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    let width = 100 / FILL_BARS;
    let bars: Vec<Bar> = counts
        .into_iter()
        .enumerate()
        .map(|(i, count)| Bar {
            label: if i % 4 == 0 { (i * width).to_string() } else { String::new() },
            count,
            title: format!("{} to {} %: {}", i * width, (i + 1) * width, human::count(count)),
        })
        .collect();
    let words = "Of each bucket page, the part that records, tags and slots take.".to_owned();
    ("How full buckets are", words, svg::bars(&bars, "fill, %", "bucket pages"), false)
}

fn chains(map: &FileMap) -> Card {
    let longest = map.chain_lens.iter().copied().max().unwrap_or_default();
    let without = map.run_count.saturating_sub(map.chain_lens.len() as u64);
    let bars: Vec<Bar> = (0..=longest.clamp(4, 24))
        .map(|len| {
            let is_last = len == 24;
            let is_len = |l: &&u64| **l == len || is_last && **l > len;
            let count = map.chain_lens.iter().filter(is_len).count() as u64;
            let count = if len == 0 { without } else { count };
            let more = if is_last { "+" } else { "" };
            Bar {
                label: format!("{len}{more}"),
                count,
                title: format!("{len}{more} pages: {} runs", human::count(count)),
            }
        })
        .collect();
    let words = format!("Overflow pages of a run of 16 buckets; the longest chain has {longest}.");
    ("How long chains are", words, svg::bars(&bars, "pages in the chain", "runs"), false)
}

fn page_map(map: &FileMap) -> Card {
    let each = map.pages.len().div_ceil(CELLS_MAX).max(1);
    let rank = |page: &PageUse| USES.iter().position(|(page_use, ..)| page_use == page);
    let classes: Vec<&'static str> = map
        .pages
        .chunks(each)
        .map(|pages| {
            // What is lost is always seen; else what most of them are.
            let count = |page: &PageUse| pages.iter().filter(|p| *p == page).count();
            let is_lost = pages.contains(&PageUse::Lost);
            let most = pages.iter().max_by_key(|page| (count(page), rank(page)));
            let shown = if is_lost { Some(&PageUse::Lost) } else { most };
            let at = shown.and_then(rank).unwrap_or_default();
            USES.get(at).map_or("free", |(_, _, class)| *class)
        })
        .collect();
    let mut legend = String::from("<ul class=\"legend\">");
    for (page_use, name, class) in USES.iter().rev() {
        let count = map.pages.iter().filter(|page| *page == page_use).count() as u64;
        if count > 0 {
            let count = human::count(count);
            let _ = write!(legend, "<li><i class=\"{class}\"></i>{name} {count}</li>");
        }
    }
    let drawn = svg::map(&classes, 64, "the pages of the file");
    let pages = human::count(map.pages.len() as u64);
    let words = match each {
        1 => format!("{pages} pages of {}, row by row.", human::bytes(map.page_size)),
        _ => format!(
            "{pages} pages, row by row; a square is {each} of them, and shows what most are."
        ),
    };
    ("Map of the file", words, format!("{drawn}{legend}</ul>"), true)
}

fn sweep(map: &FileMap) -> Card {
    let done = map.splitpoint;
    let (words, parts) = if map.next_bucket_count == 0 {
        let words = format!(
            "No resize is under way: all hashes are in one layout of {} buckets.",
            human::count(map.bucket_count)
        );
        (words, vec![Part { name: "current layout", class: "bucket", size: 1 }])
    } else {
        let words = format!(
            "From {} to {} buckets: the splitpoint has passed {} of the hashes.",
            human::count(map.bucket_count),
            human::count(map.next_bucket_count),
            percent(done, u64::MAX)
        );
        let parts = vec![
            Part { name: "next layout", class: "value", size: done >> 8 },
            Part { name: "current layout", class: "bucket", size: (u64::MAX - done) >> 8 },
        ];
        (words, parts)
    };
    let mut legend = String::from("<ul class=\"legend\">");
    for part in &parts {
        let _ = write!(legend, "<li><i class=\"{}\"></i>{}</li>", part.class, part.name);
    }
    let drawn = svg::stacked(&parts, "the splitpoint in hash space", 26.0);
    ("Splitpoint", words, format!("<div class=\"stack\">{drawn}</div>{legend}</ul>"), false)
}

fn log(map: &FileMap) -> Card {
    let words = match (map.is_clean, map.log.is_empty()) {
        (true, true) => "Closed clean: there is none, and none is needed.",
        (true, false) => "Closed clean: what lies beside the file is not needed.",
        (false, true) => "It is needed, and it is not there.",
        (false, false) => "What has changed since the checkpoint is in these segments only.",
    };
    let needed: u64 = map.log.iter().filter(|s| s.is_needed).map(|s| s.len).sum();
    let other: u64 = map.log.iter().filter(|s| !s.is_needed).map(|s| s.len).sum();
    let parts = [
        Part { name: "needed", class: "overflow", size: needed },
        Part { name: "not needed", class: "free", size: other },
        Part { name: "none", class: "free", size: u64::from(map.log.is_empty()) },
    ];
    let drawn = svg::stacked(&parts, "the log", 26.0);
    let mut table =
        String::from("<table><tr><th>segment</th><th>size</th><th>commits</th><th></th></tr>");
    for segment in map.log.iter().take(LOSSES_MAX) {
        let has = if segment.has_record { "some" } else { "none" };
        let is = if segment.is_needed { "needed" } else { "not needed" };
        let size = human::bytes(segment.len);
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{size}</td><td>{has}</td><td>{is}</td></tr>",
            segment.number
        );
    }
    let table = if map.log.is_empty() { String::new() } else { table + "</table>" };
    ("Log", words.to_owned(), format!("<div class=\"stack\">{drawn}</div>{table}"), false)
}

fn losses(map: &FileMap) -> Card {
    if map.losses.is_empty() {
        return ("", String::new(), String::new(), true);
    }
    let mut list = String::from("<ul class=\"losses\">");
    for loss in map.losses.iter().take(LOSSES_MAX) {
        let _ = write!(list, "<li>{}</li>", escape(&loss.to_string()));
    }
    let left = map.losses.len().saturating_sub(LOSSES_MAX);
    if left > 0 {
        let _ = write!(list, "<li>and {left} more</li>");
    }
    let words =
        "<code>splitpoint check</code> says more; <code>splitpoint salvage</code> saves the \
                 rest into a new file."
            .to_owned();
    ("What is lost", words, list + "</ul>", true)
}
