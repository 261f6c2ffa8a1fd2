//! The connections that are open or on their way, and the one of them that serves.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    link::{BUSY_PAUSE, Link, Phase},
    serving_link::ServingLink,
};
use crate::session::{effects::Effect, ids::LinkId, output::Output};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(in crate::session) struct Links {
    all: BTreeMap<LinkId, Link>,
    serving: Option<ServingLink>,
}

impl Links {
    // Each of them.

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.all.get_mut(&id)
    }

    /// Whether it is open, or on its way.
    pub(super) fn contains(&self, id: LinkId) -> bool {
        self.all.contains_key(&id)
    }

    /// Those that have not come up yet.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Link> {
        self.all.values().filter(|link| link.is_candidate())
    }

    /// For each of these, the step that it has not done yet.
    pub(super) fn missing(&self) -> impl Iterator<Item = String> {
        self.candidates().map(|link| format!("{}: {}", link.server, link.missing()))
    }

    /// Those that are to be looked after now.
    pub(super) fn due(&self, now: Instant) -> Vec<LinkId> {
        let is_due = |link: &Link| link.next_timeout().is_some_and(|at| at <= now);
        self.all.iter().filter(|(_, link)| is_due(link)).map(|(id, _)| *id).collect()
    }

    /// When the next of them is.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.all.values().filter_map(Link::next_timeout).min()
    }

    /// The name of its server.
    pub(super) fn server_name(&self, id: LinkId) -> Arc<str> {
        self.get(id).map_or_else(String::new, |link| link.server.to_string()).into()
    }

    // How they begin and end.

    /// A connection that is being dialled.
    pub(super) fn add(&mut self, id: LinkId, link: Link) {
        self.all.insert(id, link);
    }

    /// It has been replaced, or is of no use: it is kept for so long, and at most for so long.
    pub(super) fn retire(&mut self, now: Instant, id: LinkId, least: Duration, most: Duration) {
        if let Some(link) = self.get_mut(id) {
            link.phase = Phase::Retiring { deadline: now + least, at_most: now + most };
        }
    }

    /// Requests are under way on it: if it has been replaced, it stays a little longer.
    pub(super) fn keep(&mut self, now: Instant, id: LinkId) {
        if let Some(Link { phase: Phase::Retiring { deadline, at_most }, .. }) = self.get_mut(id) {
            *deadline = (*deadline).max(now + BUSY_PAUSE).min(*at_most);
        }
    }

    pub(super) fn close(&mut self, output: &mut Output, id: LinkId) {
        if self.all.remove(&id).is_some() {
            output.act(Effect::Close { link: id });
            output.forget_calls_of(id);
        }
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    pub(super) fn close_retiring(&mut self, output: &mut Output) {
        self.close_those(output, |link| matches!(link.phase, Phase::Retiring { .. }));
    }

    /// Gives up every connection that has not come up yet.
    pub(super) fn close_candidates(&mut self, output: &mut Output) {
        self.close_those(output, Link::is_candidate);
    }

    fn close_those(&mut self, output: &mut Output, unwanted: impl Fn(&Link) -> bool) {
        let unwanted = self.all.iter().filter(|(_, link)| unwanted(link));
        let unwanted: Vec<LinkId> = unwanted.map(|(id, _)| *id).collect();
        for id in unwanted {
            self.close(output, id);
        }
    }

    /// Closes all of them. Returns the one that served.
    pub(super) fn close_all(&mut self, output: &mut Output) -> Option<ServingLink> {
        for link in std::mem::take(&mut self.all).into_keys() {
            output.act(Effect::Close { link });
        }
        output.forget_calls();
        self.serving.take()
    }

    // The one that serves.

    pub(in crate::session) fn serving(&self) -> Option<&ServingLink> {
        self.serving.as_ref()
    }

    pub(super) fn serving_mut(&mut self) -> Option<&mut ServingLink> {
        self.serving.as_mut()
    }

    /// The connection that serves, if it is `id`.
    pub(super) fn serving_on(&mut self, id: LinkId) -> Option<&mut ServingLink> {
        self.serving.as_mut().filter(|serving| serving.link == id)
    }

    pub(in crate::session) fn serving_id(&self) -> Option<LinkId> {
        self.serving.as_ref().map(|serving| serving.link)
    }

    /// The same as one connection among the others.
    pub(super) fn serving_link(&self) -> Option<&Link> {
        self.get(self.serving_id()?)
    }

    /// Whether one serves whose server answers.
    pub(super) fn serve_calmly(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.liveness.is_calm())
    }

    /// Another one serves. Returns the one that did before.
    pub(super) fn serve(&mut self, serving: ServingLink) -> Option<ServingLink> {
        self.serving.replace(serving)
    }

    /// If `id` serves, it does so no more.
    pub(super) fn serve_no_more(&mut self, id: LinkId) -> Option<ServingLink> {
        self.serving.take_if(|serving| serving.link == id)
    }
}

/// The part that only tests look at.
#[cfg(any(test, fuzzing))]
impl Links {
    pub(in crate::session) fn all(&self) -> &BTreeMap<LinkId, Link> {
        &self.all
    }
}
