//! What was asked and answered in one run, and what is still to be asked.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::{Qtype, Question, Resolved};

/// Something is still to be asked: whoever was judging judges again once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unresolved(());

/// The answers of one run.
#[derive(Debug, Default)]
pub struct Known {
    answers: HashMap<Question, Resolved>,
    /// What was asked for and is not among them.
    wanted: RefCell<BTreeSet<Question>>,
}

impl Known {
    /// What is said of the `kind` of `name`; a name that cannot be written does not exist.
    ///
    /// # Errors
    /// [`Unresolved`]: it is not known yet, and noted as wanted.
    pub fn ask(&self, name: &str, kind: Qtype) -> Result<Resolved, Unresolved> {
        let Some(question) = Question::new(name, kind) else { return Ok(Resolved::no_name()) };
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer.clone());
        }
        self.wanted.borrow_mut().insert(question);
        Err(Unresolved(()))
    }

    /// Notes that this will be asked for, so that it need not be waited for later.
    pub fn expect(&self, name: &str, kind: Qtype) {
        let _ = self.ask(name, kind);
    }

    /// Keeps the answer to a question.
    pub fn put(&mut self, question: Question, answer: Resolved) {
        self.answers.insert(question, answer);
    }

    /// Whether it knows the answer already.
    pub fn has(&self, question: &Question) -> bool {
        self.answers.contains_key(question)
    }

    /// All that was asked, with what was said, in the order of names.
    pub fn all(&self) -> Vec<(&Question, &Resolved)> {
        let mut all: Vec<_> = self.answers.iter().collect();
        all.sort_by_key(|(question, _)| *question);
        all
    }

    fn take_wanted(&self) -> Vec<Question> {
        std::mem::take(&mut *self.wanted.borrow_mut()).into_iter().collect()
    }
}

/// Has `judge` judge until nothing is pending; `answer` is given all that is wanted at once, and puts an answer to each.
pub fn settle<T>(
    known: &mut Known,
    mut answer: impl FnMut(&mut Known, Vec<Question>),
    judge: impl Fn(&Known) -> Result<T, Unresolved>,
) -> T {
    loop {
        match judge(known) {
            Ok(judged) => {
                // Expected and not needed in the end.
                known.take_wanted();
                return judged;
            }
            Err(Unresolved(())) => {
                let wanted = known.take_wanted();
                answer(known, wanted.clone());
                // Whoever answers leaves nothing out, or this would never end.
                for question in wanted {
                    known.answers.entry(question).or_insert_with(|| Resolved::unasked("it was not asked"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_asked_in_one_wait() {
        let mut waits = Vec::new();
        let mut known = Known::default();
        let judge = |known: &Known| {
            ["a.example", "b.example", "a..example"].iter().for_each(|name| known.expect(name, Qtype::Txt));
            let first = known.ask("a.example", Qtype::Txt)?;
            known.ask("c.example", Qtype::Txt)?;
            Ok(first)
        };
        let answer = |known: &mut Known, wanted: Vec<Question>| {
            waits.push(wanted.iter().map(|question| question.name().to_owned()).collect::<Vec<_>>());
            known.put(wanted[0].clone(), Resolved::no_name());
        };
        assert_eq!(settle(&mut known, answer, judge), Resolved::no_name());
        assert_eq!(waits, [vec!["a.example", "b.example"], vec!["c.example"]]);
        let last = &known.all()[1];
        assert_eq!((last.0.name(), last.1.why_unasked()), ("b.example", Some("it was not asked")));
    }
}
