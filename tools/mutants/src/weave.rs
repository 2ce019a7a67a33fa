//! One file: finds the expressions that mutants change, and puts a choice in their place.
//!
//! An expression is changed by insertions before, within and behind it, so that what it consists of may
//! be changed as well. `/*M7*/` marks a line that is there for mutant 7 alone, `/*S7*/` the beginning
//! of a place that it shares with others: who compiles the file finds by these what to leave out.

use std::collections::BTreeMap;

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, UnOp};

/// Line and column, in characters.
pub(crate) type At = (usize, usize);
/// Mutants by number, with what they put in the place of something.
type Changes<'m> = Vec<(usize, &'m str)>;

/// What is to be changed where.
#[derive(Debug, Default)]
pub(crate) struct Places<'m> {
    pub(crate) operators: BTreeMap<At, Changes<'m>>,
    pub(crate) signs: BTreeMap<At, Changes<'m>>,
    pub(crate) guards: BTreeMap<At, Changes<'m>>,
    pub(crate) arms: BTreeMap<At, Changes<'m>>,
    /// By the end of the function.
    pub(crate) functions: BTreeMap<At, Changes<'m>>,
}

/// A changed file.
pub(crate) struct Woven {
    pub(crate) source: String,
    pub(crate) mutants: Vec<usize>,
}

/// Text that is put into the place of what stands between two points.
#[derive(Debug)]
struct Edit {
    from: At,
    to: At,
    /// Of several at one point: what closes comes before what opens; of two that close the inner one
    /// first, of two that open the outer one.
    order: (bool, isize),
    text: String,
}

struct Weaver<'m> {
    places: Places<'m>,
    edits: Vec<Edit>,
    mutants: Vec<usize>,
    depth: isize,
}

pub(crate) fn weave(source: &str, places: Places<'_>) -> syn::Result<Woven> {
    let tree = syn::parse_file(source)?;
    let mut weaver = Weaver { places, edits: Vec::new(), mutants: Vec::new(), depth: 0 };
    weaver.visit_file(&tree);
    let Weaver { mut edits, mutants, .. } = weaver;
    edits.sort_by_key(|edit| (edit.from, edit.order));
    let mut woven = String::new();
    let mut edits = edits.into_iter().peekable();
    let mut copied = (1, 0);
    for (number, line) in (1..).zip(source.split_inclusive('\n')) {
        for (column, character) in line.chars().enumerate() {
            while let Some(edit) = edits.next_if(|edit| edit.from <= (number, column)) {
                woven += &edit.text;
                copied = copied.max(edit.to);
            }
            if copied <= (number, column) {
                woven.push(character);
            }
        }
    }
    Ok(Woven { source: woven, mutants })
}

fn at(position: LineColumn) -> At {
    (position.line, position.column)
}

fn is_on(number: usize) -> String {
    format!("crate::switch::on({number})")
}

/// `show` of what the mutant that is on makes of it, or else of `old`.
fn choice(changes: &Changes<'_>, old: &str, show: impl Fn(&str) -> String) -> String {
    let mutants = changes.iter().map(|&(number, new)| {
        format!("if {} {{ {} }} else /*M{number}*/\n", is_on(number), show(new))
    });
    format!("\n{}{{ {} }}", mutants.collect::<String>(), show(old))
}

fn mark(changes: &Changes<'_>) -> String {
    changes.iter().map(|(number, _)| format!("/*S{number}*/")).collect::<String>() + "\n"
}

/// Whether a condition binds names: a chain cannot be taken apart.
fn has_let(expression: &syn::ExprBinary) -> bool {
    struct Search(bool);
    impl Visit<'_> for Search {
        fn visit_expr_let(&mut self, _: &syn::ExprLet) {
            self.0 = true;
        }
        fn visit_block(&mut self, _: &Block) {}
        fn visit_expr_closure(&mut self, _: &syn::ExprClosure) {}
    }
    let mut search = Search(false);
    search.visit_expr_binary(expression);
    search.0
}

impl<'m> Weaver<'m> {
    fn open(&mut self, before: Span, text: String) {
        let from = at(before.start());
        self.edits.push(Edit { from, to: from, order: (true, self.depth), text });
    }

    fn close(&mut self, behind: Span, text: String) {
        let from = at(behind.end());
        self.edits.push(Edit { from, to: from, order: (false, -self.depth), text });
    }

    fn replace(&mut self, span: Span, text: String) {
        let (from, to) = (at(span.start()), at(span.end()));
        self.edits.push(Edit { from, to, order: (true, self.depth), text });
    }

    fn taken(&mut self, changes: Option<Changes<'m>>) -> Option<Changes<'m>> {
        self.mutants.extend(changes.iter().flatten().map(|(number, _)| *number));
        changes
    }

    /// A function that returns something else.
    fn function(&mut self, block: &Block) {
        let changes = self.places.functions.remove(&at(block.span().end()));
        let Some(changes) = self.taken(changes) else { return };
        let returns = changes.iter().map(|&(number, value)| {
            format!("\nif {} {{ return {value}; }} /*M{number}*/\n", is_on(number))
        });
        let text = returns.collect();
        self.close(block.brace_token.span.open(), text);
    }

    fn binary(&mut self, expression: &syn::ExprBinary, changes: &Changes<'m>) {
        let (left, right) = (expression.left.span(), expression.right.span());
        let op = expression.op.span();
        let old = op.source_text().unwrap_or_default();
        let mark = mark(changes);
        match expression.op {
            BinOp::And(_) | BinOp::Or(_) => {
                // The one is the other if what decides is turned round.
                let compare = if old == "&&" { "!=" } else { "==" };
                let on = is_on(changes.first().map_or(0, |(number, _)| *number));
                self.open(left, format!("({{ {mark} let l_: bool = "));
                self.replace(op, format!("; if l_ {compare} {on} {{ "));
                self.close(right, " } else { l_ } })".to_owned());
            }
            BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                self.open(left, format!("(match ( {mark} &("));
                self.replace(op, "), &(".to_owned());
                let text = choice(changes, &old, |op| format!("*l_ {op} *r_"));
                self.close(right, format!(")) {{ (l_, r_) => {text} }})"));
            }
            _ if old.ends_with('=') => {
                self.open(left, format!("{{ {mark} let l_ = &mut ("));
                self.replace(op, "); let r_ = (".to_owned());
                let text = choice(changes, &old, |op| format!("*l_ {op} r_"));
                self.close(right, format!("); {text} }}"));
            }
            _ => {
                self.open(left, format!("(match ( {mark} "));
                self.replace(op, ",".to_owned());
                let text = choice(changes, &old, |op| format!("l_ {op} r_"));
                self.close(right, format!(") {{ (l_, r_) => {text} }})"));
            }
        }
    }

    fn unary(&mut self, expression: &syn::ExprUnary, changes: &Changes<'m>) {
        let old = expression.op.span().source_text().unwrap_or_default();
        self.replace(expression.op.span(), format!("(match ( {}", mark(changes)));
        let text = choice(changes, &old, |op| format!("{op} x_"));
        self.close(expression.expr.span(), format!(") {{ x_ => {text} }})"));
    }

    /// An arm that is not there, and one whose guard is always or never true.
    fn arm(&mut self, arm: &syn::Arm) {
        let deletion = self.places.arms.remove(&at(arm.span().start()));
        let deletion = self.taken(deletion).and_then(|changes| changes.first().copied());
        let Some((_, guard)) = &arm.guard else {
            if let Some((number, _)) = deletion {
                self.close(arm.pat.span(), format!(" if !{} /*M{number}*/\n", is_on(number)));
            }
            return;
        };
        let changes = self.places.guards.remove(&at(guard.span().start()));
        let changes = self.taken(changes).unwrap_or_default();
        let mut text = String::new();
        if let Some((number, _)) = deletion {
            text += &format!("!{} && /*M{number}*/\n", is_on(number));
        }
        text += "(";
        for (number, value) in changes {
            text += &match value {
                "true" => format!("{} || /*M{number}*/\n", is_on(number)),
                _ => format!("!{} && /*M{number}*/\n", is_on(number)),
            };
        }
        self.open(guard.span(), text + "(");
        self.close(guard.span(), "))".to_owned());
    }
}

impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        // What is constant cannot ask.
        if item.sig.constness.is_none() {
            self.function(&item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.sig.constness.is_none() {
            self.function(&item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}

    fn visit_expr_repeat(&mut self, expression: &'ast syn::ExprRepeat) {
        self.visit_expr(&expression.expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.depth += 1;
        self.arm(arm);
        visit::visit_arm(self, arm);
        self.depth -= 1;
    }

    fn visit_expr_unary(&mut self, expression: &'ast syn::ExprUnary) {
        self.depth += 1;
        if !matches!(expression.op, UnOp::Deref(_)) {
            let changes = self.places.signs.remove(&at(expression.op.span().start()));
            if let Some(changes) = self.taken(changes) {
                self.unary(expression, &changes);
            }
        }
        visit::visit_expr_unary(self, expression);
        self.depth -= 1;
    }

    fn visit_expr_binary(&mut self, expression: &'ast syn::ExprBinary) {
        self.depth += 1;
        let changes = self.places.operators.remove(&at(expression.op.span().start()));
        if let Some(changes) = changes.filter(|_| !has_let(expression)) {
            self.mutants.extend(changes.iter().map(|(number, _)| *number));
            self.binary(expression, &changes);
        }
        visit::visit_expr_binary(self, expression);
        self.depth -= 1;
    }
}
