//! Reads the command line.

use std::path::PathBuf;

use servers::Product;

pub(crate) const USAGE: &str = "\
usage: servers list
       servers install r-nacos|java
       servers r-nacos [--auth] [--token-ttl SECONDS] [--nodes N] [--minutes N]
       servers java [--auth] [--token-ttl SECONDS] [--tls CHAIN.pem KEY.pem]
                    [--client-ca CA.pem] [--nodes N] [--minutes N]";

/// One command.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Order {
    Install(Product),
    List,
    Run(Wish),
}

/// A server to run by hand.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Wish {
    pub(crate) product: Product,
    pub(crate) authenticates: bool,
    pub(crate) token_ttl_secs: Option<u32>,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) nodes: u16,
    pub(crate) minutes: u64,
}

impl Order {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut words = args.iter().map(String::as_str);
        match words.next() {
            None => Err("what is to be done?".to_owned()),
            Some("install") => {
                let product = product(words.next().unwrap_or_default())?;
                end(words.next())?;
                Ok(Self::Install(product))
            }
            Some("list") => {
                end(words.next())?;
                Ok(Self::List)
            }
            Some(name) => Wish::parse(product(name)?, words).map(Self::Run),
        }
    }
}

impl Wish {
    fn parse<'a>(
        product: Product,
        mut words: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut wish = Self {
            product,
            authenticates: false,
            token_ttl_secs: None,
            tls: None,
            client_ca: None,
            nodes: 1,
            minutes: 60,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word {
                "--auth" => wish.authenticates = true,
                "--client-ca" if product == Product::JavaNacos => {
                    wish.client_ca = Some(value()?.into());
                }
                "--minutes" => wish.minutes = number::<u64>(value()?)?.clamp(1, LONGEST),
                "--nodes" => wish.nodes = number(value()?)?,
                "--tls" if product == Product::JavaNacos => {
                    wish.tls = Some((value()?.into(), value()?.into()));
                }
                "--token-ttl" => wish.token_ttl_secs = Some(number(value()?)?),
                _ => return Err(format!("{} knows no {word}", product.name())),
            }
        }
        if wish.client_ca.is_some() && wish.tls.is_none() {
            return Err("--client-ca needs --tls".to_owned());
        }
        Ok(wish)
    }
}

fn product(name: &str) -> Result<Product, String> {
    let found = Product::ALL.into_iter().find(|product| product.name() == name);
    found.ok_or_else(|| format!("no server and no command is called `{name}`"))
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is no such number"))
}

fn end(word: Option<&str>) -> Result<(), String> {
    word.map_or(Ok(()), |word| Err(format!("`{word}` is one word too many")))
}

/// A day, in minutes.
const LONGEST: u64 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_with_authentication() {
        let order = parse("r-nacos --auth --nodes 3 --token-ttl 20").expect("understood");
        let Order::Run(wish) = order else { panic!("{order:?}") };
        assert_eq!((wish.nodes, wish.token_ttl_secs), (3, Some(20)));
        assert!(wish.authenticates);
    }

    #[test]
    fn both_servers_come_in_clusters() {
        for line in ["r-nacos --nodes 3", "java --nodes 3"] {
            let order = parse(line).expect("understood");
            let Order::Run(wish) = order else { panic!("{order:?}") };
            assert_eq!(wish.nodes, 3);
        }
    }

    #[test]
    fn tls_takes_two_files_and_mutual_tls_a_third() {
        let line = "java --tls a.pem b.pem --client-ca c.pem --minutes 1";
        let order = parse(line).expect("understood");
        let Order::Run(wish) = order else { panic!("{order:?}") };
        assert_eq!(wish.tls, Some(("a.pem".into(), "b.pem".into())));
        assert_eq!(wish.client_ca, Some("c.pem".into()));
    }

    #[test]
    fn installing_and_listing() {
        assert_eq!(parse("install java"), Ok(Order::Install(Product::JavaNacos)));
        assert_eq!(parse("list"), Ok(Order::List));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "install",
            "install x",
            "install java now",
            "list all",
            "nacos",
            "r-nacos --tls a b",
            "java --tls a",
            "java --client-ca c",
            "r-nacos --client-ca c --tls a b",
            "r-nacos --nodes many",
            "r-nacos --nodes",
            "r-nacos --nodes 70000",
            "r-nacos extra",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    fn parse(line: &str) -> Result<Order, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Order::parse(&args)
    }
}
