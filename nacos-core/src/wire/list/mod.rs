//! The instances of a service as a server lists them, read against the list before.
//!
//! Servers send a service in full whenever anything of it changes, and mostly all of it but one
//! instance is what it was. So a list is first divided into the texts of its instances. A text that
//! stands where it stood before is the instance that it was: that is shared, and nothing of it is
//! read. Any other text is read. If what it says is known under its identity, as where the server
//! has changed the order, or writes `1` for `1.0`, that instance is shared as well.
//!
//! ```text
//!   texts before   A  B  C  D  E            texts now   A  X  C  E  D
//!                  A is expected: known     X is read: another B, so C is expected after it
//!                  C, known                 E is read: known, so what followed it is expected
//!                  D is read: known         nothing has become of instances but of B
//! ```
//!
//! The new list is then put together from the old one and what differs, in one walk, which finds
//! the difference as well. Where nothing differs there is no walk.
//!
//! A list keeps its texts for the next one, which is as much memory as its message took, within the
//! receive limit.
use std::{fmt, iter::Peekable, sync::Arc, vec};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Failure, instance::InstanceInfo};
use crate::{
    instance::Instance,
    key::{ClusterName, ServiceKey},
    service::{Change, Service, looked},
};

/// The texts of the instances of a list, in the server's order, each not read yet.
#[derive(Clone, Default)]
pub(crate) struct Texts {
    joined: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// A list that was read.
pub(crate) struct List {
    pub(crate) service: Service,
    basis: Basis,
}

/// The texts against which the next list is read.
#[derive(Default)]
struct Basis {
    texts: Texts,
    /// The instance that was read from each of the texts.
    places: Vec<ReadAs>,
    /// The instances of the service.
    shown: Arc<[Arc<Instance>]>,
    /// From which text each of those was read.
    sources: Vec<usize>,
    /// Instances that are not shown, because another one has the same identity.
    hidden: Vec<Arc<Instance>>,
}

/// Where an instance is that was read from a text.
#[derive(Clone, Copy)]
enum ReadAs {
    /// Nobody could dial it.
    Nowhere,
    Shown(usize),
    Hidden(usize),
}

impl List {
    /// Reads `texts`, of which most may be those of the list `before`.
    pub(super) fn read(
        key: ServiceKey,
        texts: Texts,
        protected: bool,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let none = Basis::default();
        let known = before.map_or(&none, |before| &before.basis);
        let mut reader = Reader::new(known, texts.ends.len());
        for text in texts.iter() {
            reader.read(text)?;
        }
        let (basis, change) = reader.finish(texts);
        let shown = Arc::clone(&basis.shown);
        let service = match before.filter(|_| !change.is_empty()) {
            // The list before is known, unless that was empty.
            Some(before) if Arc::ptr_eq(&before.service.instances, &known.shown) => {
                Service::following(key, shown, protected, &known.shown, change)
            }
            _ => Service::listed(key, shown, protected),
        };
        Ok(Self { service, basis })
    }

    /// Puts `next` in the place of this list. Where that has no instances, those of this one are
    /// still known when they come back: after the restart of a server, say.
    pub(crate) fn replace(&mut self, next: Self) {
        self.service = next.service;
        if !next.basis.shown.is_empty() {
            self.basis = next.basis;
        }
    }
}

/// Says how many there are.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances = self.service.instances.len();
        f.debug_struct("List").field("instances", &instances).finish_non_exhaustive()
    }
}

impl Texts {
    fn get(&self, at: usize) -> Option<&str> {
        let begin = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.joined.get(begin..*self.ends.get(at)?)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|at| self.get(at))
    }

    /// Sees whether all of them can be read.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.iter().enumerate().try_for_each(|(at, text)| read(at, text).map(drop))
    }
}

/// Says how many there are.
impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").field("count", &self.ends.len()).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of instances")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some(text) = seq.next_element::<&RawValue>()? {
                    texts.joined.push_str(text.get());
                    texts.ends.push(texts.joined.len());
                }
                // They are kept: no room is left over.
                texts.joined.shrink_to_fit();
                texts.ends.shrink_to_fit();
                Ok(texts)
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

/// Reads the text that stands at a place.
fn read(at: usize, text: &str) -> Result<InstanceInfo, Failure> {
    // Only the position: the text may hold anything.
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Unreadable(format!("instance {at} is not readable at line {line} column {column}"))
    })
}

/// Goes through a list, text by text.
struct Reader<'a> {
    known: &'a Basis,
    /// The known text that comes next if nothing has changed.
    expected: usize,
    /// Of each known instance that is shown: which text of this list stands for it.
    kept: Vec<Option<usize>>,
    /// How many known instances no text stands for yet.
    missing: usize,
    /// The rest of them.
    others: Vec<Other>,
    places: Vec<ReadAs>,
    /// The last cluster that was read: most services have only one.
    cluster: ClusterName,
}

/// An instance that is not known, or not as one that is shown.
struct Other {
    /// The known instance of this identity, or that in front of which it belongs.
    beside: Result<usize, usize>,
    candidate: Candidate,
}

/// One of those of an identity, of which one is shown.
struct Candidate {
    instance: Arc<Instance>,
    /// The text that it was read from.
    source: usize,
}

impl<'a> Reader<'a> {
    fn new(known: &'a Basis, texts: usize) -> Self {
        Self {
            known,
            expected: 0,
            kept: vec![None; known.shown.len()],
            missing: known.shown.len(),
            others: Vec::new(),
            places: Vec::with_capacity(texts),
            cluster: ClusterName::default(),
        }
    }

    fn read(&mut self, text: &str) -> Result<(), Failure> {
        let known = self.known;
        if known.texts.get(self.expected) == Some(text) {
            match known.places[self.expected] {
                ReadAs::Nowhere => self.places.push(ReadAs::Nowhere),
                ReadAs::Shown(at) => self.keep(at),
                ReadAs::Hidden(at) => {
                    let instance = Arc::clone(&known.hidden[at]);
                    self.add(known.find(&instance), instance);
                }
            }
            self.expected += 1;
            return Ok(());
        }
        looked(1);
        let info = read(self.places.len(), text)?;
        let Some(instance) = info.into_instance(&mut self.cluster) else {
            self.places.push(ReadAs::Nowhere);
            return Ok(());
        };
        let beside = known.find(&instance);
        if let Ok(at) = beside {
            let (former, source) = (&known.shown[at], known.sources[at]);
            let is_same = **former == instance;
            // It has stayed where it was, or the order is another one from here on.
            if is_same || source == self.expected {
                self.expected = source + 1;
            }
            if is_same {
                self.keep(at);
                return Ok(());
            }
        }
        self.add(beside, Arc::new(instance));
        Ok(())
    }

    /// The next text stands for a known instance that is shown.
    fn keep(&mut self, at: usize) {
        match &mut self.kept[at] {
            Some(_) => self.add(Ok(at), Arc::clone(&self.known.shown[at])),
            kept => {
                *kept = Some(self.places.len());
                self.missing -= 1;
                self.places.push(ReadAs::Shown(at));
            }
        }
    }

    /// The next text stands for another instance.
    fn add(&mut self, beside: Result<usize, usize>, instance: Arc<Instance>) {
        let candidate = Candidate { instance, source: self.places.len() };
        self.others.push(Other { beside, candidate });
        // Until it is known where it belongs.
        self.places.push(ReadAs::Nowhere);
    }

    /// Puts the list together. Says what has changed.
    fn finish(mut self, texts: Texts) -> (Basis, Change) {
        let (known, places) = (self.known, self.places);
        if self.missing == 0 && self.others.is_empty() {
            let shown = Arc::clone(&known.shown);
            let sources = self.kept.into_iter().flatten().collect();
            return (
                Basis { texts, places, shown, sources, hidden: Vec::new() },
                Change::default(),
            );
        }
        // Stable, so that of one identity the first listed comes first.
        self.others.sort_by(|one, other| one.identity().cmp(&other.identity()));
        let mut others = self.others.into_iter().peekable();
        let mut merged = Merged::new(places, known.shown.len() + others.len());
        for (at, former) in known.shown.iter().enumerate() {
            looked(1);
            merged.add_before(at, &mut others);
            let kept =
                self.kept[at].map(|source| Candidate { instance: Arc::clone(former), source });
            let is_of_it = |other: &Other| other.beside == Ok(at);
            match kept.or_else(|| others.next_if(is_of_it).map(|other| other.candidate)) {
                Some(first) => {
                    let chosen = merged.choose(first, &mut others, is_of_it);
                    merged.show(Some(former), chosen);
                }
                None => merged.change.removed.push(Arc::clone(former)),
            }
        }
        merged.add_before(known.shown.len(), &mut others);
        let Merged { places, shown, sources, hidden, change } = merged;
        // Readers that see the same allocation have nothing to compare.
        let shown = if change.is_empty() { Arc::clone(&known.shown) } else { shown.into() };
        (Basis { texts, places, shown, sources, hidden }, change)
    }
}

impl Basis {
    /// The place of the instance that is shown under this identity, or that at which it would be.
    fn find(&self, instance: &Instance) -> Result<usize, usize> {
        self.shown.binary_search_by(|shown| shown.identity().cmp(&instance.identity()))
    }
}

impl Other {
    fn identity(&self) -> (&str, u16, &ClusterName) {
        self.candidate.instance.identity()
    }
}

impl Candidate {
    /// Of two of one identity, which an unclean restart leaves behind for a while, a healthy one is
    /// shown, else the one that was listed first.
    fn is_rather_shown_than(&self, other: &Self) -> bool {
        (!self.instance.healthy, self.source) < (!other.instance.healthy, other.source)
    }
}

/// A list while it is put together, in the order of identities.
struct Merged {
    places: Vec<ReadAs>,
    shown: Vec<Arc<Instance>>,
    sources: Vec<usize>,
    hidden: Vec<Arc<Instance>>,
    change: Change,
}

type Others = Peekable<vec::IntoIter<Other>>;

impl Merged {
    fn new(places: Vec<ReadAs>, most: usize) -> Self {
        Self {
            places,
            shown: Vec::with_capacity(most),
            sources: Vec::with_capacity(most),
            hidden: Vec::new(),
            change: Change::default(),
        }
    }

    /// Adds those that belong in front of the known one at this place, and were not known.
    fn add_before(&mut self, at: usize, others: &mut Others) {
        while let Some(first) = others.next_if(|other| other.beside == Err(at)) {
            let twin = Arc::clone(&first.candidate.instance);
            let is_twin = |other: &Other| other.identity() == twin.identity();
            let chosen = self.choose(first.candidate, others, is_twin);
            self.show(None, chosen);
        }
    }

    /// The one that is shown of `first` and those that follow and belong to it.
    fn choose(
        &mut self,
        first: Candidate,
        others: &mut Others,
        belongs: impl Fn(&Other) -> bool,
    ) -> Candidate {
        let mut chosen = first;
        while let Some(Other { mut candidate, .. }) = others.next_if(&belongs) {
            if candidate.is_rather_shown_than(&chosen) {
                std::mem::swap(&mut candidate, &mut chosen);
            }
            self.places[candidate.source] = ReadAs::Hidden(self.hidden.len());
            self.hidden.push(candidate.instance);
        }
        chosen
    }

    /// Shows an instance, in the place of the one that was shown of its identity.
    fn show(&mut self, former: Option<&Arc<Instance>>, chosen: Candidate) {
        let Candidate { mut instance, source } = chosen;
        match former {
            Some(former) if Arc::ptr_eq(former, &instance) => {}
            Some(former) if *former == instance => instance = Arc::clone(former),
            Some(former) => {
                looked(1);
                self.change.modified.push((Arc::clone(former), Arc::clone(&instance)));
            }
            None => {
                looked(1);
                self.change.added.push(Arc::clone(&instance));
            }
        }
        self.places[source] = ReadAs::Shown(self.shown.len());
        self.shown.push(instance);
        self.sources.push(source);
    }
}

#[cfg(test)]
mod tests;
