//! A message in doubt at a relay that takes an idempotency key: the same request is made again at once, and its answer
//! is the answer to both.

use std::time::Duration;

use jiff::Timestamp;

use super::key;
use super::walk::Walk;
use crate::attempt::IdempotencyKey;
use crate::config::relay::Relay;
use crate::failure::{Failure, Kind};
use crate::message::MailObject;
use crate::outcome::{Outcome, Stage};

/// How long is waited before a relay is asked again that answered without telling; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);

/// What is not known of one relay, and how it is asked.
pub(super) struct Doubt {
    /// Why no answer was had.
    failure: Failure,
    /// What is waited before the next request.
    pause: Duration,
    /// What was said to the last repeated request.
    heard: Option<String>,
}

impl Walk<'_> {
    /// Gives the try under way a key, where its relay takes one.
    pub(super) fn give_key(&mut self, mail: MailObject<'_>) {
        if self.attempt.key.is_none() {
            self.attempt.key = key::of(self.relay(), mail);
        }
        if let Some(key) = &self.attempt.key {
            (self.manner.keyed)(key);
        }
    }

    /// Takes up the doubt that an earlier run left at the relay in use.
    ///
    /// # Errors
    /// `InDoubt`, still: the key is of no use there.
    pub(super) fn take_up(&mut self, mail: MailObject<'_>, key: IdempotencyKey) -> Result<(), Failure> {
        let place = self.relay().place.to_string();
        let failure = Failure::new(Kind::InDoubt, place, "gave no answer before: the message may have been accepted");
        let failure = failure.at(Stage::Message);
        self.attempt.hand_over.doubt();
        // One that this message would not have been given here is another relay's.
        if !is_known(self.relay(), &key) || key::of(self.relay(), mail).is_none() {
            return Err(failure);
        }
        self.attempt.key = Some(IdempotencyKey { is_repeated: true, ..key });
        self.doubt = Some(Doubt { failure, pause: Duration::ZERO, heard: None });
        Ok(())
    }

    /// Takes what came of a request that was to submit the message, and gives what that makes of the try. `None`: the
    /// same request is due again.
    pub(super) fn judge(&mut self, result: Result<Outcome, Failure>) -> Option<Result<Outcome, Failure>> {
        let doubt = match (self.doubt.take(), result) {
            (None, Err(failure)) if failure.kind == Kind::InDoubt && self.attempt.key.is_some() => {
                Doubt { failure, pause: Duration::ZERO, heard: None }
            }
            (None, result) => return Some(result),
            (Some(Doubt { failure, .. }), Ok(outcome)) if settles(self.relay(), &outcome) => {
                self.attempt.hand_over.settle();
                self.attempt.warn(format!("{failure}; the same request with the same key was answered"));
                return Some(Ok(outcome));
            }
            (Some(Doubt { failure, pause, .. }), Ok(outcome)) => {
                let told = outcome.decisive();
                let heard = told.map(|(_, reply)| reply.to_string());
                let doubt = Doubt { failure, pause: (2 * pause).max(PAUSE), heard };
                // What passes may tell more in a moment.
                if !told.is_some_and(|(_, reply)| reply.is_transient()) {
                    return Some(Err(self.give_up(doubt)));
                }
                doubt
            }
            (Some(doubt), Err(failure)) => {
                return Some(Err(self.give_up(Doubt { heard: Some(failure.to_string()), ..doubt })));
            }
        };
        let is_known = self.attempt.key.as_ref().is_some_and(|key| is_known(self.relay(), key));
        if !is_known || self.left() <= doubt.pause {
            return Some(Err(self.give_up(doubt)));
        }
        self.attempt.hand_over.doubt();
        self.wait(doubt.pause);
        self.doubt = Some(doubt);
        if let Some(key) = &mut self.attempt.key {
            key.is_repeated = true;
        }
        let trace = &mut self.attempt.trace;
        trace.note("asking again with the same key");
        // Each request names what it changes and leaves out.
        trace.repairs.clear();
        trace.warnings.clear();
        None
    }

    /// Nobody knows, after all.
    fn give_up(&mut self, doubt: Doubt) -> Failure {
        if let Some(heard) = doubt.heard {
            self.attempt.warn(format!("asked again with the same key, and still in doubt: {heard}"));
        }
        doubt.failure
    }
}

/// Whether `relay` still knows `key`.
fn is_known(relay: &Relay, key: &IdempotencyKey) -> bool {
    relay.idempotency().is_some_and(|known| key.is_known(known.window, Timestamp::now()))
}

/// Whether `outcome`, the answer to a repeated request, is also the one to the first. An acceptance is. An API's refusal
/// for good of what has not changed since (addresses, content, size) is, for that would have come the first time as well.
/// Everything else may be about this request alone: a rate, a login, the provider's trouble; and what an SMTP server says
/// to a key it knows, other than that the message is accepted, is written down nowhere.
fn settles(relay: &Relay, outcome: &Outcome) -> bool {
    outcome.is_accepted_for_some()
        || relay.api().is_some()
            && outcome.decisive().is_some_and(|(answer, reply)| {
                reply.is_permanent() && !reply.is_authentication() && answer.stage > Stage::Auth
            })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::attempt::HandOver;
    use crate::config::relay::{Place, TlsMode};
    use crate::config::site::Terms;
    use crate::envelope::{Dsn, Envelope};
    use crate::message::Message;
    use crate::providers::Provider;
    use crate::submit::{Manner, Try, Upstream, resume};

    /// Goes on with a message at Resend, by SMTP and at `listener`, whose key was first used `ago`.
    fn resumed(listener: &TcpListener, ago: Duration, field: &str) -> Vec<Try> {
        let port = listener.local_addr().unwrap().port();
        let place = Place::Tcp { host: "127.0.0.1".to_owned(), port };
        let mut relay = Relay::new("main", place, TlsMode::None);
        relay.provider = Provider::find("resend");
        let message = format!("{field}From: a@example.org\r\n\r\nbody\r\n");
        let message = Message::read(&mut message.as_bytes(), false).unwrap();
        let forward_paths = vec!["bob@example.net".parse().unwrap()];
        let envelope = Envelope { reverse_path: None, forward_paths, dsn: Dsn::default() };
        let key = IdempotencyKey { value: "kept".to_owned(), since: Timestamp::now() - ago, is_repeated: false };
        let hand_over = Arc::new(HandOver::default());
        let manner = Manner {
            route: vec![Arc::new(relay)].into(),
            terms: Terms::default(),
            breaker: None,
            host_name: "localhost",
            begin: &|_| None,
            keyed: &|_| (),
            hand_over: &hand_over,
        };
        let submission =
            resume(MailObject { envelope: &envelope, message: &message }, manner, key, &mut Upstream::of(0));
        assert_eq!(hand_over.is_open(), submission.decisive().result.is_err());
        submission.tries
    }

    /// Takes one message; what was said to it.
    fn serve(listener: &TcpListener) -> String {
        let (stream, _) = listener.accept().unwrap();
        let (mut heard, mut said, mut is_content) = (String::new(), &stream, false);
        said.write_all(b"220 x\r\n").unwrap();
        for line in BufReader::new(&stream).lines().map_while(Result::ok) {
            heard += &format!("{line}\n");
            let reply = match line.as_str() {
                "." => "250 2.0.0 known",
                _ if is_content => continue,
                "DATA" => "354 go on",
                "QUIT" => break,
                _ => "250 ok",
            };
            is_content = reply.starts_with("354");
            said.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
        }
        heard
    }

    #[test]
    fn a_kept_key_is_given_again_within_its_window_and_no_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tries, heard) = thread::scope(|scope| {
            let served = scope.spawn(|| serve(&listener));
            (resumed(&listener, Duration::from_secs(23 * 3600), ""), served.join().unwrap())
        });
        assert!(tries[0].result.as_ref().is_ok_and(Outcome::is_accepted));
        assert!(heard.contains("\nResend-Idempotency-Key: kept\n"), "{heard}");
        assert_eq!(tries[0].key.as_ref().map(|key| key.value.as_str()), Some("kept"));

        listener.set_nonblocking(true).unwrap();
        let signed = "DKIM-Signature: h=Resend-Idempotency-Key\r\n";
        for (ago, field) in [(24 * 3600, ""), (60, signed), (60, "Resend-Idempotency-Key:\r\n")] {
            let tries = resumed(&listener, Duration::from_secs(ago), field);
            assert!(tries[0].result.as_ref().is_err_and(|failure| failure.kind == Kind::InDoubt));
        }
        assert!(listener.accept().is_err(), "nobody was asked");
    }
}
