//! The command-line tool `splitpoint`.

fn main() {}
