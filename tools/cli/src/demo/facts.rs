//! Facts as aligned lines.

use crate::human;

/// Name, number, and the number in human units where it is a size.
pub(super) fn table(fields: &[(&'static str, u64)]) -> String {
    let name_width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let number_width =
        fields.iter().map(|(_, number)| human::count(*number).len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, number) in fields {
        let label = name.replace('_', " ");
        let exact = human::count(*number);
        text.push_str(&format!("{label:name_width$}  {exact:>number_width$}"));
        if is_bytes(name) && *number >= 1024 {
            text.push_str(&format!("  {}", human::bytes(*number)));
        }
        text.push('\n');
    }
    text
}

/// Whether a fact is in bytes: the names say so by their last word.
fn is_bytes(name: &str) -> bool {
    ["_size", "_len", "_bytes"].iter().any(|end| name.ends_with(end))
}
