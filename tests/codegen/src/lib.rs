//! The wire format of prost types, read from their source.
//!
//! Two sources agree when their messages do: the same names, and under each tag a field of the same
//! name, the same encoding and, for a message, the same type. All that never reaches the wire is
//! left out: order, visibility, documentation, other derives and attributes, whether bytes are a
//! `Vec` or a `Bytes`, a map a `HashMap` or a `BTreeMap`.

use std::collections::{BTreeMap, BTreeSet};

use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, GenericArgument, Ident, Item, ItemStruct, Lit, Meta, PathArguments,
    Token, Type,
};

/// The messages of one or more source files.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Schema {
    messages: BTreeMap<String, Message>,
}

/// Fields by tag.
type Message = BTreeMap<u32, Field>;

#[derive(Debug, Eq, PartialEq)]
struct Field {
    name: String,
    /// Its prost attribute without the tag: `string`, or `message` and `optional`.
    encoding: BTreeSet<String>,
    /// The Rust type of a message, without its path.
    message: Option<String>,
}

impl Schema {
    /// Adds the messages of a source file; messages of one name must not differ.
    ///
    /// # Errors
    ///
    /// The fault of the source, in a sentence.
    pub fn read(&mut self, source: &str) -> Result<(), String> {
        let file = syn::parse_file(source).map_err(|error| format!("not Rust: {error}"))?;
        for item in &file.items {
            if let Item::Struct(item) = item
                && is_message(item)
            {
                let name = item.ident.to_string();
                let fields = fields(item).map_err(|why| format!("{name}: {why}"))?;
                if self.messages.insert(name.clone(), fields).is_some() {
                    return Err(format!("{name} is there twice"));
                }
            }
        }
        Ok(())
    }

    /// How many messages it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

fn is_message(item: &ItemStruct) -> bool {
    let derives = item.attrs.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let is_message = |path: &syn::Path| path.segments.last().is_some_and(|s| s.ident == "Message");
    derives.flat_map(arguments).any(|derive| is_message(derive.path()))
}

fn fields(item: &ItemStruct) -> Result<Message, String> {
    let mut fields = Message::new();
    for field in &item.fields {
        let name = field.ident.as_ref().map(bare).unwrap_or_default();
        let (tag, encoding) = encoding(&field.attrs).map_err(|why| format!("{name}: {why}"))?;
        let is_message = encoding.contains("message");
        let message = is_message.then(|| innermost(&field.ty)).flatten();
        if fields.insert(tag, Field { name, encoding, message }).is_some() {
            return Err(format!("tag {tag} is there twice"));
        }
    }
    Ok(fields)
}

fn encoding(attributes: &[Attribute]) -> Result<(u32, BTreeSet<String>), String> {
    let (mut tag, mut encoding) = (None, BTreeSet::new());
    let prost = attributes.iter().filter(|attribute| attribute.path().is_ident("prost"));
    for argument in prost.flat_map(arguments) {
        let name = argument.path().get_ident().map(bare).ok_or("a prost argument with a path")?;
        let value = match &argument {
            Meta::NameValue(pair) => Some(text(&pair.value)?),
            Meta::List(_) | Meta::Path(_) => None,
        };
        match (name.as_str(), value) {
            ("tag", Some(value)) => tag = value.parse().ok(),
            ("btree_map" | "map", Some(value)) => {
                let value: String = value.split_whitespace().collect();
                encoding.insert(format!("map {value}"));
            }
            // The value of `bytes` is which Rust type holds them.
            ("bytes", _) | (_, None) => drop(encoding.insert(name)),
            (_, Some(value)) => drop(encoding.insert(format!("{name} {value}"))),
        }
    }
    Ok((tag.ok_or("no tag")?, encoding))
}

/// The list between the parentheses of an attribute; empty if that is not a list.
fn arguments(attribute: &Attribute) -> impl Iterator<Item = Meta> {
    let list = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    list.unwrap_or_default().into_iter()
}

fn text(value: &Expr) -> Result<String, String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.base10_digits().to_owned()),
        _ => Err("a prost argument that is no literal".to_owned()),
    }
}

/// The last generic argument of the last generic argument, without its path.
fn innermost(wrapped: &Type) -> Option<String> {
    let Type::Path(path) = wrapped else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Some(bare(&last.ident));
    };
    match arguments.args.last()? {
        GenericArgument::Type(inner) => innermost(inner),
        _ => None,
    }
}

/// Without the mark of a raw identifier.
fn bare(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}
