//! Changing a document as it stands, also while others do.
use std::sync::Arc;

use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use super::{
    Configs,
    get::filtered,
    publish::Publish,
    published::{Condition, Published, Queried, gray_is_shown, shown},
};
use crate::{
    document::Document,
    error::{Doing, Error, ErrorKind},
    key::{ConfigKey, InvalidName},
    time::doubled,
};

/// The outcome of [`Configs::update`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Updated {
    /// Whether the server makes sure that nobody else's change was overwritten.
    pub condition: Condition,
    /// The publish; `None` if the document was left as it is.
    pub published: Option<Published>,
}

impl Configs {
    /// Reads a document, and publishes what `change` makes of it, unless somebody else has changed
    /// it meanwhile: then it reads again. `None` from `change` leaves it as it is.
    ///
    /// `change` is called with `None` where there is no document, and once more after each
    /// conflict. Java Nacos shows an old content for 35 to 90 ms after each publish, and refuses
    /// what is made of it, so that `change` may see the same document twice.
    ///
    /// Servers that announce no abilities may ignore the condition: r-nacos does, and overwrites
    /// what others have published meanwhile. There, the outcome says [`Condition::Unknown`], and
    /// the client warns once. Nothing is published to find out.
    ///
    /// Kept of the document: its type and its encrypted data key, which are sent again, and the
    /// application and the labels, which servers keep. Java Nacos forgets the description, `use`,
    /// `effect` and `schema`, which it shows to no client: to set them, publish with
    /// [`Publish::if_unchanged`]. A document that [filters](crate::filter) decrypt is clear text
    /// for `change`, and its result is encrypted anew. Without them, an encrypted document is
    /// cipher text for `change`, too, and its result has to be encrypted with the same key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if others were faster each time, until the request timeout or 64
    /// times; [`ErrorKind::Unsupported`] if this client is shown a gray version, which says nothing
    /// about the formal one; whatever [`get`](Self::get) and [`publish`](Self::publish) fail with.
    /// After [`ErrorKind::Timeout`] or [`ErrorKind::Disconnected`] it may or may not be stored.
    ///
    /// # Cancel safety
    ///
    /// Once polled, a dropped call may or may not have published.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use nacos_core::{Condition, Document};
    ///
    /// let increase = |old: Option<&Document>| {
    ///     let visits: u32 = old.and_then(|old| old.content.parse().ok()).unwrap_or(0);
    ///     Some((visits + 1).to_string())
    /// };
    /// nacos.configs().update("visits", increase).await?;
    /// let updated = nacos.configs().update("visits", increase).await?;
    /// assert_eq!(updated.condition, Condition::Honoured);
    ///
    /// let visits = nacos.configs().get("visits").await?.ok_or("it was just published")?;
    /// assert_eq!(&*visits.content, "2");
    /// # Ok(()) }
    /// ```
    pub async fn update<K, C>(
        &self,
        key: K,
        mut change: impl FnMut(Option<&Document>) -> Option<C>,
    ) -> Result<Updated, Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
        C: Into<Arc<str>>,
    {
        let key = self.resolve(key)?;
        let doing = Doing("update", &key);
        let deadline = Instant::now() + self.connection.options.session.request_timeout;
        let mut conflict = None;
        for round in 0..MOST_ROUNDS {
            let Ok(shown) = timeout_at(deadline, shown(&self.connection, &key, None)).await else {
                break;
            };
            let (shown, announces) = shown?;
            let document = match shown {
                Queried::Absent => None,
                Queried::Asked(document) => {
                    let filtered = filtered(&self.connection, &key, Some(document));
                    timeout_at(deadline, filtered).await.unwrap_or_else(|_| late(&key))?
                }
                Queried::Gray => return Err(gray_is_shown(doing)),
            };
            let Some(content) = change(document.as_ref()) else {
                let condition = if announces { Condition::Honoured } else { Condition::Unknown };
                return Ok(Updated { condition, published: None });
            };
            let publish = over(document.as_ref(), &key, content.into(), announces);
            let prepared = timeout_at(deadline, self.prepare(publish)).await;
            let publish = prepared.unwrap_or_else(|_| late(&key))?;
            let Ok(published) = timeout_at(deadline, self.send(publish)).await else {
                // It may be stored.
                return Err(self.connection.nobody_answered(doing));
            };
            match published {
                Ok(published) => {
                    let unconditional = || Condition::at(announces, &self.connection, &key);
                    let condition = published.condition.unwrap_or_else(unconditional);
                    return Ok(Updated { condition, published: Some(published) });
                }
                Err(error) if error.kind() == ErrorKind::Conflict => conflict = Some(error),
                Err(error) => return Err(error),
            }
            let pause = doubled(PAUSE, round, PAUSE_CAP).mul_f64(0.5 + fastrand::f64() / 2.0);
            sleep_until(deadline.min(Instant::now() + pause)).await;
        }
        Err(conflict.unwrap_or_else(|| self.connection.nobody_answered(doing)))
    }
}

/// The filters took all the time that was left: nothing was sent.
fn late<T>(key: &ConfigKey) -> Result<T, Error> {
    let why = "the filters were not done within the request timeout";
    Err(Error::new(ErrorKind::FilterUnavailable, Doing("update", key)).because(why))
}

/// The publish of `content` over `document`, of which it keeps what a client can keep.
fn over(
    document: Option<&Document>,
    key: &ConfigKey,
    content: Arc<str>,
    announces: bool,
) -> Publish {
    let publish = Publish::of(key.clone(), content);
    let Some(document) = document else {
        // Elsewhere `if_absent` would be refused here already, and nothing published at all: the
        // digest that no content has is honoured by Java before 2.3, and ignored by r-nacos.
        return if announces { publish.if_absent() } else { publish.if_nothing() };
    };
    let publish = publish.content_type(&*document.content_type).if_unchanged(document);
    match &document.encrypted_data_key {
        Some(key) => publish.encrypted_data_key(&**key),
        None => publish,
    }
}

const MOST_ROUNDS: u32 = 64;
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_CAP: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_that_is_absent_is_published_over_nothing_wherever_that_may_be_honoured() {
        let key = ConfigKey::try_from("n").expect("valid");
        for announces in [true, false] {
            let publish = over(None, &key, "1".into(), announces);
            assert_eq!(publish.request(&key).cas_md5, Some("absent"));
            // It is sent all the same where the outcome is said to be unknown.
            assert_eq!(publish.hazard().is_some(), announces);
        }
    }
}
