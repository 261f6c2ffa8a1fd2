//! Counts the work of one registration among many: guards that are told, instances that are sent,
//! keys that are looked at.
use super::{super::entries::looks, *};

#[test]
fn one_registration_of_many_tells_and_sends_nothing_of_the_others() {
    for additive in [true, false] {
        let [few, many] = [250, 1000].map(|count| Work::of(count, additive));
        for ((phase, few), (same, many)) in few.iter().zip(&many) {
            assert_eq!(phase, same);
            assert!(*few > 0, "{phase}, additive {additive}: nothing was counted");
            assert!(
                *many <= few * 5,
                "{phase}, additive {additive}: {few} for 250 instances, {many} for 1000"
            );
        }
    }
}

/// A client that registers instances of one service, and the work that it has caused so far.
struct Work {
    stage: Stage,
    additive: bool,
    count: u16,
    sent: usize,
    phases: Vec<(&'static str, usize)>,
}

impl Work {
    /// The work of each phase of a life: as many changes as there are instances, each by itself, or
    /// few requests with all of them.
    fn of(count: u16, additive: bool) -> Vec<(&'static str, usize)> {
        let stage = Stage::connected("a");
        let mut work = Self { stage, additive, count, sent: 0, phases: Vec::new() };
        for port in 1..=count {
            work.register(port, 1.0);
        }
        work.settled("registered together");
        // While the first request is under way, the others come one by one.
        for port in count + 1..=2 * count {
            work.register(port, 1.0);
            work.stage.settle();
        }
        work.settled("registered while a request is under way");
        // A server that replaces is sent all of them each time.
        let updated = if additive { count } else { 1 };
        for port in 1..=updated {
            work.register(port, 5.0);
            work.serve();
        }
        work.settled("updated one by one");
        work.refused();
        work.stage.session.handle_lost(work.stage.now, work.stage.serving(), "lost");
        work.stage.perform();
        while work.stage.session.serving_link().is_none() {
            work.stage.wait();
        }
        work.settled("registered again");
        for port in 1..=2 * count {
            work.stage.session.commands().withdraw(&instances("orders"), GuardId(port.into()));
            if additive {
                work.serve();
            }
        }
        work.settled("withdrawn");
        assert_eq!(work.stage.session.remaining(), 0);
        work.phases
    }

    fn register(&mut self, port: u16, weight: f64) {
        let instance = Arc::new(Instance::new("10.0.0.1", port).with_weight(weight));
        self.stage.session.commands().assert(
            instances("orders"),
            GuardId(port.into()),
            Some(instance),
        );
    }

    /// One of many is refused ever again, and taken in the end.
    fn refused(&mut self) {
        self.register(1, 7.0);
        self.stage.settle();
        for _ in 0..self.count / 10 {
            for sent in std::mem::take(&mut self.stage.calls) {
                let is_step = sent.request.kind().contains("Instance");
                let answer = if is_step { refused(503) } else { ok("HealthCheckResponse") };
                self.stage.answer(&sent, &answer);
            }
            self.stage.wait();
        }
        self.settled("refused ever again");
    }

    /// The server does what it is asked to.
    fn serve(&mut self) {
        self.stage.settle();
        while let Some(sent) = self.stage.calls.pop() {
            if sent.request.kind().contains("Instance") {
                self.sent += sent.body()["instances"].as_array().map_or(1, Vec::len);
            }
            let kind = match sent.request.kind() {
                "BatchInstanceRequest" if self.additive => "registerInstance",
                _ => "batchRegisterInstance",
            };
            let answer = sent.request.kind().replace("Request", "Response");
            let answer = message(&answer, &json!({"resultCode": 200, "type": kind}));
            self.stage.answer(&sent, &Ok(answer));
        }
    }

    /// The phase ends once the server holds what is claimed.
    fn settled(&mut self, phase: &'static str) {
        while {
            self.serve();
            {
                let claims = self.stage.session.naming.claims();
                claims.unsettled() > 0 || claims.next_retry().is_some()
            }
        } {
            self.stage.wait();
        }
        let told = std::mem::take(&mut self.stage.events).len();
        self.phases.push((phase, told + std::mem::take(&mut self.sent)));
    }
}

#[test]
fn one_registration_of_many_looks_at_no_other() {
    for (shape, most) in [("one service", 1), ("10 services", 10), ("a service each", u16::MAX)] {
        let [few, many] = [50, 500].map(|count| looks_for_each(count, count.min(most)));
        for ((phase, few), (same, many)) in few.into_iter().zip(many) {
            assert_eq!(phase, same);
            assert!(
                many <= few + few / 4 + 1,
                "{shape}, {phase}: {few} keys were looked at for each of 50, {many} of 500"
            );
        }
    }
}

/// Calls the getters that the driver calls after each of its turns.
fn asked(stage: &Stage) {
    let session = &stage.session;
    assert!(session.poll_timeout(stage.now).is_some());
    assert!(session.unsettled() <= session.remaining());
}

/// How many keys are looked at for each of so many instances, in each phase of their lives.
fn looks_for_each(count: u16, services: u16) -> [(&'static str, usize); 4] {
    let mut stage = Stage::connected("a");
    let service = |number: u16| instances(&format!("orders-{}", number % services));
    let answer_all = |stage: &mut Stage| {
        stage.settle();
        asked(stage);
        while let Some(sent) = stage.calls.pop() {
            let kind = sent.request.kind().replace("Request", "Response");
            // An additive server, which is not sent all instances each time.
            let answer = json!({"resultCode": 200, "type": "registerInstance"});
            stage.answer(&sent, &Ok(message(&kind, &answer)));
            asked(stage);
        }
    };
    let each = |looks: usize| looks / usize::from(count);
    looks();
    for number in 0..count {
        let instance = Arc::new(Instance::new("10.0.0.1", number + 1));
        stage.session.commands().assert(service(number), GuardId(number.into()), Some(instance));
        answer_all(&mut stage);
    }
    let registered = each(looks());
    // Timeouts while no claim changes.
    for _ in 0..count {
        stage.session.handle_timeout(stage.now);
        stage.perform();
        asked(&stage);
    }
    let idle = each(looks());
    stage.session.handle_lost(stage.now, stage.serving(), "lost");
    stage.perform();
    while stage.session.serving_link().is_none() {
        stage.wait();
    }
    answer_all(&mut stage);
    while stage.session.unsettled() > 0 {
        answer_all(&mut stage);
        stage.perform();
    }
    let again = each(looks());
    for number in 0..count {
        stage.session.commands().withdraw(&service(number), GuardId(number.into()));
        answer_all(&mut stage);
    }
    let withdrawn = each(looks());
    assert_eq!(stage.session.remaining(), 0);
    [("registered", registered), ("idle", idle), ("again", again), ("withdrawn", withdrawn)]
}
