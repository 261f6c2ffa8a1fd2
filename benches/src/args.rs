//! Reads the command line.
use crate::server::Choice;

/// The command line, read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch, and none excludes another")]
pub struct Args {
    /// Everything, with tiny counts: whether it runs, not how fast it is.
    pub smoke: bool,
    /// JSON lines on standard output; the table then goes to standard error.
    pub json: bool,
    /// Say how it is used, and nothing else.
    pub help: bool,
    /// Be the test server that another process of this program measures.
    pub serve: bool,
    /// Be the client that another process of this program measures, under this order.
    pub client: Option<Vec<String>>,
    /// The server to measure on.
    pub server: Choice,
    /// How many rounds, if not the usual number.
    pub rounds: Option<usize>,
    /// The groups to measure; all of them if none is named.
    pub groups: Vec<String>,
}

impl Args {
    /// Reads `args`, without the program's name. `address` is the server that the environment
    /// names.
    ///
    /// # Errors
    ///
    /// Names the argument that is not known, or lacks its value.
    pub fn parse(
        args: impl IntoIterator<Item = String>,
        address: Option<String>,
    ) -> Result<Self, String> {
        let server = address.map_or_else(Choice::default, |address| Choice::from(&*address));
        let mut parsed = Self { server, ..Self::default() };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match &*arg {
                "--smoke" => parsed.smoke = true,
                "--json" => parsed.json = true,
                "--help" | "-h" => parsed.help = true,
                "--serve" => parsed.serve = true,
                "--client" => parsed.client = Some(args.by_ref().collect()),
                "--server" => parsed.server = Choice::from(&*value()?),
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|&rounds| rounds > 0);
                    parsed.rounds = Some(rounds.ok_or("--rounds needs a number above 0")?);
                }
                other if other.starts_with('-') => return Err(format!("{other} is not known")),
                group => parsed.groups.push(group.to_owned()),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_beats_the_environment() {
        let env = Some("10.0.0.1:8848".to_owned());
        let args = parse(&["get", "--smoke", "--server", "testkit"], env.clone()).expect("valid");
        assert_eq!((args.smoke, args.server), (true, Choice::Testkit));
        assert_eq!(args.groups, ["get"]);
        let args = parse(&[], env).expect("valid");
        assert_eq!(args.server, Choice::Given("10.0.0.1:8848".to_owned()));
    }

    #[test]
    fn unknown_and_incomplete_arguments_are_named() {
        assert_eq!(parse(&["--fast"], None), Err("--fast is not known".to_owned()));
        assert_eq!(parse(&["--server"], None), Err("--server needs a value".to_owned()));
        assert!(parse(&["--rounds", "0"], None).is_err());
    }

    fn parse(args: &[&str], address: Option<String>) -> Result<Args, String> {
        Args::parse(args.iter().map(|&arg| arg.to_owned()), address)
    }
}
