//! No file needs a file that needs it: one of them could not be read, or changed, alone.
//!
//! A file and the files of its folder may know each other: a parent shows what its children are.
//! The methods of a type may stand in several files, which import nothing of each other: of those
//! each call counts. For a machine of the session, a parent is no exception.
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
fn files_of_one_type_call_its_methods_in_one_direction() {
    let mut arrows = 0;
    for krate in CRATES {
        let mut types: BTreeMap<String, BTreeMap<Module, Methods>> = BTreeMap::new();
        let mut declared: BTreeMap<String, usize> = BTreeMap::new();
        for source in sources(&format!("{krate}/src")) {
            for name in names(&source.text).declared {
                *declared.entry(name).or_default() += 1;
            }
            for (name, methods) in methods(&source.text) {
                types.entry(name).or_default().insert(module_of(&source.path), methods);
            }
        }
        // Of several types with one name, nobody knows whose method is called.
        types.retain(|name, files| files.len() > 1 && declared.get(name) == Some(&1));
        for (name, files) in types {
            let mut needs = needs(&files);
            if !name.ends_with("Machine") {
                for (module, needed) in &mut needs {
                    needed.retain(|it| !module.starts_with(it) && !it.starts_with(module));
                }
            }
            arrows += needs.values().map(BTreeSet::len).sum::<usize>();
            let circle = circle(&needs);
            assert!(circle.is_empty(), "{krate}, {name}: these call each other: {circle:#?}");
        }
    }
    assert!(arrows > 20, "only {arrows} arrows were found");
}

#[test]
fn methods_that_call_each_other_are_found() {
    let of =
        |name: &str, text| (vec![name.to_owned()], methods(text).remove("AMachine").expect("one"));
    let files = BTreeMap::from([
        of("above", "impl AMachine { fn new() -> Self { Self::two(); } fn top(&self) {} }"),
        of("one", "impl AMachine { fn one(&self) { self.two(); self.field.top(); } }"),
        of("two", "impl AMachine { fn two(&self) { if x { self.one(1) } } fn own(&self) {} }"),
        of("test", "#[cfg(test)] impl AMachine { fn t(&self) { self.top() } } impl AMachine {}"),
    ]);
    let found = circle(&needs(&files));
    assert_eq!(found, [["one"], ["two"]]);
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

/// The methods of one type that a file declares, and those that it calls.
#[derive(Default)]
struct Methods {
    declared: BTreeSet<String>,
    called: BTreeSet<String>,
}

/// The methods of each type in a file.
#[derive(Default)]
struct Types {
    found: BTreeMap<String, Methods>,
    /// The type whose methods are looked at.
    current: String,
}

fn methods(text: &str) -> BTreeMap<String, Methods> {
    let mut types = Types::default();
    types.visit_file(&syn::parse_file(text).expect("Rust"));
    types.found
}

/// For each of these files, the others whose methods it calls.
fn needs(files: &BTreeMap<Module, Methods>) -> BTreeMap<Module, BTreeSet<Module>> {
    let needs = |methods: &Methods| {
        let needed = files.iter().filter(|(_, other)| !other.declared.is_disjoint(&methods.called));
        needed.map(|(module, _)| module.clone()).collect::<BTreeSet<_>>()
    };
    let without_itself = |(module, methods)| {
        let mut needed = needs(methods);
        needed.remove(module);
        (Module::clone(module), needed)
    };
    files.iter().map(without_itself).collect()
}

impl Types {
    fn calls(&mut self, method: String) {
        if let Some(methods) = self.found.get_mut(&self.current) {
            methods.called.insert(method);
        }
    }
}

impl<'a> Visit<'a> for Types {
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        let syn::Type::Path(ty) = &*item.self_ty else { return };
        let Some(name) = ty.path.segments.last().map(|last| last.ident.to_string()) else { return };
        if item.trait_.is_some() || item.attrs.iter().any(is_for_tests) {
            return;
        }
        let declared = item.items.iter().filter_map(|item| match item {
            syn::ImplItem::Fn(method) => Some(method.sig.ident.to_string()),
            _ => None,
        });
        self.found.entry(name.clone()).or_default().declared.extend(declared);
        self.current = name;
        visit::visit_item_impl(self, item);
        self.current.clear();
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if let syn::Expr::Path(receiver) = &*call.receiver
            && receiver.path.is_ident("self")
        {
            self.calls(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if let [ty, method] = names.as_slice()
            && (ty == "Self" || *ty == self.current)
        {
            self.calls(method.clone());
        }
        visit::visit_path(self, path);
    }
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
