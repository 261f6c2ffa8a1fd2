//! No file needs a file that needs it: one of them could not be read, or changed, alone.
//!
//! A file and the files of its folder may know each other: a parent shows what its children are.
use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::tidy::{CRATES, sources};

/// The path of a module below the root of its crate.
type Module = Vec<String>;

/// The items that a file declares, and the names that it uses.
#[derive(Default)]
struct Names {
    declared: BTreeSet<String>,
    /// Each import: as what, and from where.
    imports: Vec<(String, Vec<String>)>,
    paths: Vec<Vec<String>>,
}

#[test]
fn no_two_files_need_each_other_but_parent_and_child() {
    let mut arrows = 0;
    for krate in CRATES {
        let modules: BTreeMap<_, _> = sources(&format!("{krate}/src"))
            .map(|source| (module_of(&source.path), names(&source.text)))
            .collect();
        let mut needs = BTreeMap::new();
        for (module, names) in &modules {
            let imported = names.imports.iter().map(|(_, path)| path);
            let needed: BTreeSet<_> = imported
                .chain(&names.paths)
                .filter_map(|path| declares(&modules, module, path, 0))
                .filter(|needed| !module.starts_with(needed) && !needed.starts_with(module))
                .collect();
            arrows += needed.len();
            needs.insert(module.clone(), needed);
        }
        let circle = circle(&needs);
        assert!(circle.is_empty(), "{krate}: these need each other: {circle:#?}");
    }
    assert!(arrows > 500, "only {arrows} arrows were found");
}

#[test]
fn circle_of_three_is_found() {
    let named = |names: &[&str]| names.iter().map(|name| vec![(*name).to_owned()]).collect();
    let needs: Vec<(&str, BTreeSet<Module>)> = vec![
        ("above", named(&["one"])),
        ("one", named(&["two", "below"])),
        ("two", named(&["three"])),
        ("three", named(&["one"])),
        ("below", named(&[])),
    ];
    let needs = needs.into_iter().map(|(name, needed)| (vec![name.to_owned()], needed)).collect();
    let found: BTreeSet<_> = circle(&needs).concat().into_iter().collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["one", "three", "two"]);
}

#[test]
fn imports_are_followed_to_the_file_that_declares_them() {
    let modules = BTreeMap::from([
        (module_of("k/src/lib.rs"), names("mod a; mod b; pub use a::{Thing as Other, inner};")),
        (module_of("k/src/a/mod.rs"), names("mod inner; pub use self::inner::Thing;")),
        (module_of("k/src/a/inner.rs"), names("pub struct Thing; pub fn make() {}")),
        (
            module_of("k/src/b.rs"),
            names(
                "use crate::Other; #[cfg(test)] mod tests { use crate::a::Gone; }
                 fn f() { super::inner::make(); }",
            ),
        ),
    ]);
    let of = |name: &str| vec![name.to_owned()];
    let inner = vec!["a".to_owned(), "inner".to_owned()];
    let b = &modules[&of("b")];
    let (_, other) = &b.imports[0];
    assert_eq!(b.imports.len(), 1, "tests do not count");
    assert_eq!(declares(&modules, &of("b"), other, 0), Some(inner.clone()));
    let made = b.paths.iter().find_map(|path| declares(&modules, &of("b"), path, 0));
    assert_eq!(made, Some(inner));
}

/// `krate/src/a/b.rs` and `krate/src/a/b/mod.rs` are the module `a::b`.
fn module_of(path: &str) -> Module {
    let below = path.split("/src/").nth(1).expect("a file of a crate");
    let mut module: Module = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

fn names(text: &str) -> Names {
    let mut names = Names::default();
    names.visit_file(&syn::parse_file(text).expect("Rust"));
    names
}

impl Names {
    fn import(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(before, tree));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.imports.push((before.last().cloned().unwrap_or_default(), before.to_vec()));
            }
            syn::UseTree::Name(name) => {
                self.imports.push((name.ident.to_string(), with(&name.ident)));
            }
            syn::UseTree::Rename(rename) => {
                self.imports.push((rename.rename.to_string(), with(&rename.ident)));
            }
            syn::UseTree::Glob(_) => self.imports.push(("*".to_owned(), before.to_vec())),
        }
    }

    fn declare(&mut self, name: &syn::Ident) {
        self.declared.insert(name.to_string());
    }
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if attributes.iter().any(is_for_tests) {
            return;
        }
        match item {
            syn::Item::Use(item) => self.import(&[], &item.tree),
            syn::Item::Struct(item) => self.declare(&item.ident),
            syn::Item::Enum(item) => self.declare(&item.ident),
            syn::Item::Trait(item) => self.declare(&item.ident),
            syn::Item::Type(item) => self.declare(&item.ident),
            syn::Item::Fn(item) => self.declare(&item.sig.ident),
            syn::Item::Const(item) => self.declare(&item.ident),
            syn::Item::Static(item) => self.declare(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    // `pub(in …)` names no file that is needed.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg")
        && list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
}

/// The module whose file declares what `path` names in `module`; `None` if another crate does.
fn declares(
    modules: &BTreeMap<Module, Names>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    let path = absolute(modules, module, path, depth)?;
    let at = (0..=path.len()).rev().find(|at| modules.contains_key(&path[..*at]))?;
    let (module, rest) = (path[..at].to_vec(), &path[at..]);
    let names = &modules[&module];
    let Some(name) = rest.first().filter(|name| !names.declared.contains(*name)) else {
        return Some(module);
    };
    // A name that is imported stands elsewhere.
    let import = names.imports.iter().find(|(known, _)| known == name);
    match import {
        Some((_, from)) if depth < LONGEST => {
            declares(modules, &module, &[from, &rest[1..]].concat(), depth + 1)
        }
        _ => Some(module),
    }
}

/// `path`, as it is named in `module`, from the root of the crate.
fn absolute(
    modules: &BTreeMap<Module, Names>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let above = path.iter().take_while(|part| *part == "super").count();
            let base = module.get(..module.len().checked_sub(above)?)?;
            Some([base, &path[above..]].concat())
        }
        _ => {
            let child = [&module[..], std::slice::from_ref(first)].concat();
            if modules.contains_key(&child) {
                return Some([&child, rest].concat());
            }
            let imports = &modules.get(module)?.imports;
            let (_, from) = imports.iter().find(|(known, _)| known == first)?;
            if from.first() == Some(first) || depth >= LONGEST {
                return None;
            }
            absolute(modules, module, &[from, rest].concat(), depth + 1)
        }
    }
}

/// Some modules of which each needs the next, and the last the first; none, if there are none.
fn circle(needs: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Module> {
    let mut left = needs.clone();
    // A file that needs none of those left is in no circle, nor is one that none of them needs.
    loop {
        let needed: BTreeSet<_> = left.values().flatten().cloned().collect();
        let present: BTreeSet<_> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|module, needs| {
            needs.retain(|needed| present.contains(needed));
            needed.contains(module) && !needs.is_empty()
        });
        if left.len() == before {
            return left.into_keys().collect();
        }
    }
}

/// Imports of imports.
const LONGEST: usize = 12;
