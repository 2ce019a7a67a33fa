//! Hostile inputs: each row is a way to make a bad path, file or log, or a wrong call, with the
//! error that it must give. For all of them: no panic, no hang, bounded memory, nothing on disk
//! changed by what was refused, and an error that names the file and a next step.
//!
//! Checksums are sealed anew after the damage, up to the meta page, so that what is behind them is
//! tested. An argument runs only the rows whose names contain it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test: whatever goes wrong must end it"
)]

mod arguments;
mod bulk;
mod examine;
mod file;
mod fork;
mod logs;
mod memory;
mod meta;
mod pages;
mod paths;
mod sample;
mod sizes;
mod table;
mod users;
mod values;
mod watch;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, child, what, path] = arguments.as_slice()
        && child == "--child"
    {
        return users::child_main(what, path.as_ref());
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    watch::start();
    let mut table = table::Table::new(only);
    meta::run(&mut table);
    pages::run(&mut table);
    sizes::run(&mut table);
    logs::run(&mut table);
    paths::run(&mut table);
    arguments::run(&mut table);
    bulk::run(&mut table);
    println!("hostile inputs: {}", table.passed);
    if table.skipped > 0 {
        println!("skipped on this machine: {}", table.skipped);
    }
    table.failed.iter().for_each(|name| println!("failed: {name}"));
    let verdict = if table.failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {} failed", table.passed, table.failed.len());
    std::process::exit(i32::from(!table.failed.is_empty()));
}
