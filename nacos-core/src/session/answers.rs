//! Answers to the session's own requests: read once, and given to the machine that asked.
//!
//! For claims and documents it is told apart here, and nowhere else, whether there is an answer,
//! whether the connection is gone, and whether a denial is about the token in use. Answers that
//! decide whether a connection serves are read by *connecting*, to which their failures mean
//! something else.
use std::time::Instant;

use super::{
    CallId, Event, Session, configs,
    naming::{self, publication::PublicationStep},
    output::{Pending, PendingCall, RequestOrigin},
    request_failure::{self, Gone, RequestFailure},
};
use crate::{
    call_error::CallError,
    wire::{
        Answer, Payload,
        naming::{
            BatchInstanceResponse, InstanceResponse, QueryServiceResponse, SubscribeServiceResponse,
        },
    },
};

impl Session {
    /// A request of the session's own was answered, or will not be.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        id: CallId,
        answer: Result<Payload, CallError>,
    ) {
        let Some(PendingCall { origin, pending }) = self.output.answered(id) else { return };
        if answer.is_ok() {
            self.handle_heard(origin.link, now);
        }
        let is_about_connection = matches!(pending, Pending::Connecting(_));
        let shows_that_known = answer.is_ok() && !is_about_connection;
        let outcome = match pending {
            Pending::Connecting(asked) => self.with_connecting(now, |connecting, cx| {
                connecting.handle_answer(cx, origin, asked, answer)
            }),
            // An answer to a request that went over another connection counts no more.
            _ if self.serving_link() != Some(origin.link) => Ok(()),
            Pending::Naming(asked) => {
                self.note_responsiveness(now, &answer);
                self.naming_answered(now, origin, asked, answer)
            }
            Pending::Configs(asked) => {
                self.note_responsiveness(now, &answer);
                self.configs_answered(now, origin, asked, answer)
            }
        };
        match outcome {
            Err(Gone { reason, why }) => self.lose_link(now, origin.link, reason, &why),
            Ok(()) if shows_that_known => self.connecting.handle_known(origin.link),
            Ok(()) => {}
        }
        self.settle(now);
    }

    /// A server that answers health checks and nothing else shows by that.
    fn note_responsiveness(&mut self, now: Instant, answer: &Result<Payload, CallError>) {
        match answer {
            Err(CallError::Timeout) => self.with_connecting(now, |connecting, cx| {
                connecting.handle_requests_unanswered(cx, 1);
            }),
            Err(CallError::NotSent(_) | CallError::Lost(_) | CallError::Unsigned(_)) => {}
            _ => self.connecting.handle_request_answered(&mut self.output),
        }
    }

    fn naming_answered(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        asked: naming::asked::Asked,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        match asked {
            naming::asked::Asked::Step { claim, step } => {
                let additive = if matches!(step, PublicationStep::Batch(_)) {
                    let answer = self.read::<BatchInstanceResponse>(now, origin, answer)?;
                    answer.map(|answer| Some(answer.is_additive()))
                } else {
                    self.read::<InstanceResponse>(now, origin, answer)?.map(|_| None)
                };
                self.with_naming(now, |naming, cx| {
                    naming.handle_step(cx, origin, claim, &step, additive);
                });
            }
            naming::asked::Asked::Subscription { claim, subscribe } => {
                let answer = self.read::<SubscribeServiceResponse>(now, origin, answer)?;
                let list = answer.and_then(|answer| {
                    if !subscribe {
                        return Ok(None);
                    }
                    let list = self.naming.read_list(claim.key.service(), answer.service_info);
                    list.map_err(|failure| {
                        self.unreadable_answer::<SubscribeServiceResponse>(failure.to_string());
                        failure.into()
                    })
                });
                self.with_naming(now, |naming, cx| {
                    naming.handle_subscription(cx, origin, claim, list);
                });
            }
            naming::asked::Asked::SelfCheck(service, revision) => {
                // A user that may register need not have the right to ask: no reason to log in.
                let answer = self.look_at::<QueryServiceResponse>(answer)?;
                let list = answer.ok().map(|answer| answer.service_info);
                self.with_naming(now, |naming, cx| {
                    naming.handle_self_check(cx, service, revision, list);
                });
            }
        }
        Ok(())
    }

    fn configs_answered(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        asked: configs::asked::Asked,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        match asked {
            configs::asked::Asked::Listen { claims, listen } => {
                let answer = self.read(now, origin, answer)?;
                self.with_configs(now, |configs, cx| {
                    configs.handle_listen(cx, origin, &claims, listen, answer);
                });
            }
            configs::asked::Asked::FuzzyWatch(claim) => {
                let answer = self.read(now, origin, answer)?;
                self.with_configs(now, |configs, cx| {
                    configs.handle_fuzzy_watch(cx, origin, &claim, answer);
                });
            }
            configs::asked::Asked::Query(key, ticket) => {
                let answer = self.read(now, origin, answer)?;
                self.with_configs(now, |configs, cx| {
                    configs.handle_document(cx, origin, &key, ticket, answer);
                });
            }
        }
        Ok(())
    }

    /// Reads an answer. *Connecting* learns of a denial of the token in use first, so that the
    /// machine that asked knows whether that is about to pass.
    fn read<A: Answer>(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        answer: Result<Payload, CallError>,
    ) -> Result<Result<A, RequestFailure>, Gone> {
        let answer = self.look_at(answer)?;
        if let Err(RequestFailure::Refused(refusal)) = &answer {
            self.connecting.handle_refused(now, origin.token, refusal);
        }
        Ok(answer)
    }

    /// Reads an answer; one that came and cannot be read is told of.
    fn look_at<A: Answer>(
        &mut self,
        answer: Result<Payload, CallError>,
    ) -> Result<Result<A, RequestFailure>, Gone> {
        let came = answer.is_ok();
        let outcome = request_failure::read(answer)?;
        if came && let Err(RequestFailure::Unreadable { cause, .. }) = &outcome {
            self.unreadable_answer::<A>(cause.text.to_string());
        }
        Ok(outcome)
    }

    fn unreadable_answer<A: Answer>(&mut self, why: String) {
        let kind = A::TYPE.to_owned();
        self.output.show(Event::Unreadable { kind, about: String::new(), why });
    }
}
