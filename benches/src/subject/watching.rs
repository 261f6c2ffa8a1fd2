//! A client that watches documents and says what it sees.
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::ChildStdout,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use super::{Holding, Subject};
use crate::Failure;

/// A client that watches documents, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// Milliseconds until the server knew all the watches. A rival that does not tell says the same
    /// as in `shown`.
    pub known: f64,
    /// Milliseconds until all documents were there.
    pub shown: f64,
    seen: Receiver<Seen>,
    _holding: Holding,
}

/// A reader has seen another content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    number: usize,
    value: u64,
    at: Instant,
}

impl Subject {
    /// Starts one that watches so many documents; it does when this returns. With a `directory` it
    /// keeps them there.
    ///
    /// # Errors
    ///
    /// It could not.
    pub fn watch(
        &self,
        address: &str,
        documents: &str,
        count: usize,
        directory: Option<&Path>,
    ) -> Result<Watching, Failure> {
        let count = count.to_string();
        let mut order = vec!["watch", address, documents, &count];
        if let Some(directory) = directory {
            order.push(directory.to_str().ok_or("the directory has no name in UTF-8")?);
        }
        let mut child = self.command(&order).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        // From here on it is ended when this function fails.
        let holding = Holding { child, _order: input };
        let mut output = BufReader::new(output.ok_or("the client has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["held", known, shown] = words[..] else {
            return Err(format!("{} watches nothing", self.name).into());
        };
        let (known, shown) = (known.parse()?, shown.parse()?);
        let (says, seen) = channel();
        // It ends with the client's output.
        thread::Builder::new().spawn(move || listen(output, &says))?;
        Ok(Watching { known, shown, seen, _holding: holding })
    }

    /// Lets it start without a server, from the documents that are kept in `directory`: the
    /// milliseconds until all of them are shown. Ours only.
    ///
    /// # Errors
    ///
    /// It could not.
    pub fn restore(
        &self,
        directory: &Path,
        documents: &str,
        count: usize,
        policy: &str,
    ) -> Result<f64, Failure> {
        let directory = directory.to_str().ok_or("the directory has no name in UTF-8")?;
        let order = ["restore", directory, documents, &count.to_string(), policy];
        let output = self.command(&order).output()?;
        let line = String::from_utf8(output.stdout)?;
        line.trim().parse().map_err(|_| "the client did not start".into())
    }
}

impl Watching {
    /// The moments at which the first `count` documents were seen with this value, in their order;
    /// fewer if some were not within that time.
    #[must_use]
    pub fn seen(&self, count: usize, value: u64, within: Duration) -> Vec<Instant> {
        let deadline = Instant::now() + within;
        let (mut first, mut moments) = (vec![true; count], Vec::with_capacity(count));
        while moments.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(seen) = self.seen.recv_timeout(left) else { break };
            let is_new = seen.value == value && first.get(seen.number) == Some(&true);
            if is_new {
                first[seen.number] = false;
                moments.push(seen.at);
            }
        }
        moments
    }

    /// The moment at which the last of `count` documents was seen with this value.
    ///
    /// # Errors
    ///
    /// One was not seen within that time.
    pub fn last(&self, count: usize, value: u64, within: Duration) -> Result<Instant, Failure> {
        let moments = self.seen(count, value, within);
        match moments.last() {
            Some(&last) if moments.len() == count => Ok(last),
            _ => Err(format!("{} of {count} changes were seen", moments.len()).into()),
        }
    }
}

fn listen(output: BufReader<ChildStdout>, says: &Sender<Seen>) {
    for line in output.lines().map_while(Result::ok) {
        let at = Instant::now();
        let parsed = line.split_once(' ').and_then(|(number, value)| {
            Some(Seen { number: number.parse().ok()?, value: value.parse().ok()?, at })
        });
        if let Some(seen) = parsed
            && says.send(seen).is_err()
        {
            return;
        }
    }
}
