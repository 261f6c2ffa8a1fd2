//! The parts of an address, of a server as of an address server: `[scheme://]host[:port]`.
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::clip;

/// The scheme in front of an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// An address, taken apart.
pub(crate) struct Address<'a> {
    pub(crate) scheme: Option<Scheme>,
    /// Without the brackets of an IPv6 address, and with its zone.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    /// The rest: nothing, or a `/` and more.
    pub(crate) path: &'a str,
}

impl<'a> Address<'a> {
    /// Takes `text` apart, in which there is neither a user nor a query.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and shows no more of the text than a character or a scheme.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        if let Some(why) = odd(text) {
            return Err(why);
        }
        let (scheme, bare) = scheme(text)?;
        let (authority, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
        let (host, port) = split(authority)?;
        check_host(host)?;
        let port = port.map(read_port).transpose()?;
        Ok(Self { scheme, host, port, path })
    }
}

/// The mistake that a text shows before it is read as an address.
pub(crate) fn odd(text: &str) -> Option<String> {
    if text.contains(char::is_whitespace) {
        return Some("it has a blank in it".to_owned());
    }
    if let Some(quote) = text.chars().find(|c| "\"'`\u{201c}\u{201d}\u{2018}\u{2019}".contains(*c))
    {
        return Some(format!("the quote {quote} is part of the value: leave it out"));
    }
    let wide = |c: char| match c {
        '\u{3002}' => Some('.'),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{3001}' => Some(','),
        _ => None,
    };
    if let Some((found, meant)) = text.chars().find_map(|c| Some((c, wide(c)?))) {
        return Some(format!("it has the full-width `{found}` where `{meant}` is meant"));
    }
    if text.contains(['$', '{', '}', '<', '>', '(', ')']) {
        return Some("this is a placeholder that nothing has been put in place of".to_owned());
    }
    text.contains('\\').then(|| "it has a backslash".to_owned())
}

/// The scheme, if one is named, and what follows it.
fn scheme(text: &str) -> Result<(Option<Scheme>, &str), String> {
    if text.starts_with("//") {
        return Err("nothing stands in front of `//`: leave it out, too".to_owned());
    }
    let (scheme, bare) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, bare)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), bare),
        Some((scheme, bare)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), bare),
        Some((scheme, _)) => {
            let shown = clip(scheme, LONGEST_SCHEME);
            return Err(format!(
                "the scheme `{shown}` is neither `http` nor `https`: leave it out"
            ));
        }
    };
    match (begins_with_scheme(bare), scheme) {
        (true, Some(_)) => Err("the scheme stands in front of it twice".to_owned()),
        (true, None) => Err("behind a scheme stands `://`".to_owned()),
        (false, _) => other_scheme(bare).map_or(Ok((scheme, bare)), |other| {
            let shown = clip(other, LONGEST_SCHEME);
            Err(format!(
                "`{shown}` stands in front of the host, and is neither `http://` nor `https://`: \
                 leave it out"
            ))
        }),
    }
}

/// The word in front of what may be a host, where a port should be: `tcp:10.0.0.1:8848`.
fn other_scheme(bare: &str) -> Option<&str> {
    let (authority, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let (word, rest) = authority.split_once(':').unwrap_or((authority, ""));
    let is_word = word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'-');
    // Without its brackets, an IPv6 address has words and colons, too.
    let may_be_ipv6 = authority.bytes().all(|c| c.is_ascii_hexdigit() || c == b':');
    let (next, has_more) = rest.split_once(':').map_or((rest, false), |(next, _)| (next, true));
    let is_host = if rest.is_empty() {
        // `tcp:/10.0.0.1:8848` and `tcp//10.0.0.1:8848`.
        path.contains(':') && (authority.ends_with(':') || path.starts_with("//"))
    } else {
        let is_name = next.contains(|c: char| c.is_ascii_alphabetic());
        rest.starts_with('[')
            || next.parse::<Ipv4Addr>().is_ok()
            || is_name && (has_more || next.contains('.'))
    };
    (is_word && is_host && (rest.is_empty() || !may_be_ipv6)).then_some(word)
}

/// Whether a scheme is what stands where a host should. `http:80` may be a host of that name.
fn begins_with_scheme(bare: &str) -> bool {
    let authority = bare.split('/').next().unwrap_or_default();
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_port = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let is_scheme = ["http", "https"].iter().any(|scheme| name.eq_ignore_ascii_case(scheme));
    is_scheme && !is_port
}

/// The host, and what follows its colon.
fn split(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        if !is_ipv6(host) {
            return Err("the text in the brackets is no IPv6 address");
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("something other than a port follows the bracket"),
        };
    }
    if is_ipv6(authority) {
        return Err("an IPv6 address needs brackets");
    }
    if authority.contains(']') {
        return Err("the bracket is not opened");
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("it has more than one port"),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

pub(crate) fn check_host(host: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(why.to_owned());
    if host.is_empty() {
        return refuse("it names no host");
    }
    if is_ipv6(host) {
        return Ok(());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(found) = host.chars().find(|c| !allowed(*c)) {
        let number = u32::from(found);
        let hint = if found.is_alphabetic() { ": write it as `xn--\u{2026}`" } else { "" };
        // Many of them are seen as nothing, or as another.
        return Err(format!("this is no host name, it has {found:?} (U+{number:04X}) in it{hint}"));
    }
    if host.bytes().all(|c| c.is_ascii_digit()) {
        return refuse("it names no host, only a number");
    }
    if host.bytes().all(|c| c.is_ascii_digit() || c == b'.') && host.parse::<Ipv4Addr>().is_err() {
        return refuse("this is no host name, and no IPv4 address");
    }
    // A name may end with a dot: it is whole then.
    if host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty) {
        return refuse("this is no host name: a part of it, between two dots, is empty");
    }
    Ok(())
}

fn read_port(port: &str) -> Result<u16, String> {
    if port.is_empty() {
        return Err("no port follows the colon".to_owned());
    }
    if !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("the port is not a number".to_owned());
    }
    match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("the port is not within 1 and 65535".to_owned()),
    }
}

/// With or without a zone.
pub(crate) fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "none"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(allowed)
}

const LONGEST_SCHEME: usize = 20;

/// Mistakes of users, and the causes that they are told: of a server and of an address server
/// alike.
#[cfg(test)]
pub(crate) const ODD: &[(&str, &str)] = &[
    ("http:/a", "`://`"),
    ("http//a", "`://`"),
    ("http:a", "`://`"),
    ("http:", "`://`"),
    ("http", "`://`"),
    ("https:a:8848", "`://`"),
    ("HTTPS:a:8848", "`://`"),
    ("https:[::1]:8848", "`://`"),
    ("//a:8848", "`//`"),
    ("http://http://a", "twice"),
    ("http://https:a", "twice"),
    ("htpp://a", "`htpp`"),
    ("tcp://10.0.0.1:1", "`tcp`"),
    ("nacos://a:1", "`nacos`"),
    ("tcp:10.0.0.1:8848", "`tcp`"),
    ("tcp:10.0.0.1", "`tcp`"),
    ("tcp:localhost:8848", "`tcp`"),
    ("tcp:[::1]:8848", "`tcp`"),
    ("tcp:/10.0.0.1:8848", "`tcp`"),
    ("tcp//10.0.0.1:8848", "`tcp`"),
    ("grpc:nacos.example", "`grpc`"),
    ("http://tcp:10.0.0.1:8848", "`tcp`"),
    ("://a", "neither `http` nor `https`"),
    ("http://", "no host"),
    ("http:///a", "no host"),
    (":80", "no host"),
    ("a b", "blank"),
    ("a: 80", "blank"),
    ("a\u{a0}b", "blank"),
    ("a\u{3000}:80", "blank"),
    ("\"a:80\"", "quote \""),
    ("'a:80'", "quote '"),
    ("a:80'", "quote '"),
    ("`a`", "quote `"),
    ("\u{201c}a:80\u{201d}", "quote"),
    ("a\u{ff1a}80", "`:` is meant"),
    ("10\u{3002}0.0.1", "`.` is meant"),
    ("a:\u{ff18}0", "`8` is meant"),
    ("http:\u{ff0f}\u{ff0f}a", "`/` is meant"),
    ("a\u{200b}:80", "U+200B"),
    ("\u{feff}a:80", "U+FEFF"),
    ("a\u{2013}b", "U+2013"),
    ("n\u{fc}rnberg:80", "xn--"),
    ("a:80\u{200b}", "not a number"),
    ("a!b", "no host name"),
    ("a..b", "empty"),
    (".a", "empty"),
    ("8848", "only a number"),
    ("10.0.0.256", "no IPv4 address"),
    ("10.0.0.1.8848", "no IPv4 address"),
    ("010.0.0.1", "no IPv4 address"),
    ("a:", "no port"),
    ("http://a:/", "no port"),
    ("a:0", "within 1 and 65535"),
    ("a:65536", "within 1 and 65535"),
    ("a:99999999999999999999999", "within 1 and 65535"),
    ("a:-1", "not a number"),
    ("a:+80", "not a number"),
    ("a:http", "not a number"),
    ("a:80-90", "not a number"),
    ("a:1:2", "more than one port"),
    ("tcp:1:2", "more than one port"),
    ("2001:db8:1", "more than one port"),
    ("::1", "needs brackets"),
    ("fe80::1%eth0", "needs brackets"),
    ("::1:8848", "needs brackets"),
    ("[::1", "not closed"),
    ("::1]:80", "not opened"),
    ("[::1]x", "follows the bracket"),
    ("[::1]80", "follows the bracket"),
    ("[a]:1", "no IPv6 address"),
    ("[10.0.0.1]:1", "no IPv6 address"),
    ("[fe80::1%]:1", "no IPv6 address"),
    ("${NACOS_ADDR}", "placeholder"),
    ("$(NACOS_SERVICE_HOST):8848", "placeholder"),
    ("<host>:8848", "placeholder"),
    ("{{ host }}", "blank"),
    ("a\\b", "backslash"),
    ("http:\\\\a", "backslash"),
    ("nacos:pass@a:1", "a user"),
    ("http://nacos@a", "a user"),
];
