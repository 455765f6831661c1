//! What is asked of a mechanism in one case, and the row the answer makes.

use results::record::{Reading, ReadingOutcome};
use runtime::Error;

/// Who says what was measured.
pub(crate) const HOST: &str = "host's count";
/// See [`HOST`].
pub(crate) const WORK: &str = "work done inside";

/// One quantity of one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) case: String,
    pub(crate) by: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) asked: Option<f64>,
    /// Between these it counts as what was asked.
    pub(crate) least: Option<f64>,
    pub(crate) most: Option<f64>,
    /// The mechanism is off.
    pub(crate) control: bool,
}

impl Question {
    /// It may be off by this share of what was asked, either way.
    pub(crate) fn off_by(self, share: f64) -> Question {
        let (least, most) =
            (self.asked.map(|asked| asked * (1.0 - share)), self.asked.map(|asked| asked * (1.0 + share)));
        Question { least, most, ..self }
    }

    /// It must be what was asked.
    pub(crate) fn exactly(self) -> Question {
        self.off_by(0.0)
    }

    /// It must not be less.
    pub(crate) fn at_least(self, least: f64) -> Question {
        Question { least: Some(least), ..self }
    }

    /// It must not be more.
    pub(crate) fn at_most(self, most: f64) -> Question {
        Question { most: Some(most), ..self }
    }

    /// The mechanism is off here.
    pub(crate) fn control(self) -> Question {
        Question { control: true, ..self }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// This backend or host has no such thing.
    NotHere(String),
    /// It should have worked.
    Failed(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error {
            Error::Missing { .. } => Refusal::NotHere(error.to_string()),
            other => Refusal::Failed(other.to_string()),
        }
    }
}

/// Answers to several questions at once, or why there are none.
pub(crate) type Answers = Result<Vec<f64>, Refusal>;

/// What a question of `case` is about.
pub(crate) fn ask(
    case: impl Into<String>,
    by: &'static str,
    unit: &'static str,
    asked: Option<f64>,
) -> Question {
    Question { case: case.into(), by, unit, asked, least: None, most: None, control: false }
}

/// A row a question, whatever became of it.
pub(crate) fn rows(
    questions: &[Question],
    answers: Answers,
    storm: u32,
    backend: &str,
    mechanism: &str,
) -> Vec<Reading> {
    let row = |question: &Question, measured: Option<f64>, outcome, reason: &str| Reading {
        storm,
        backend: backend.to_owned(),
        mechanism: mechanism.to_owned(),
        case: question.case.clone(),
        control: question.control,
        by: question.by.to_owned(),
        unit: question.unit.to_owned(),
        asked: question.asked,
        least: question.least,
        most: question.most,
        measured,
        outcome,
        reason: reason.to_owned(),
    };
    let (outcome, reason) = match answers {
        Ok(values) => {
            let value = |at: usize| values.get(at).copied().filter(|value| value.is_finite());
            let answered = |(at, question): (usize, &Question)| match value(at) {
                Some(value) => row(question, Some(value), ReadingOutcome::Measured, ""),
                None => row(question, None, ReadingOutcome::Failed, "what came out is no number"),
            };
            return questions.iter().enumerate().map(answered).collect();
        }
        Err(Refusal::NotHere(reason)) => (ReadingOutcome::NotApplicable, reason),
        Err(Refusal::Failed(reason)) => (ReadingOutcome::Failed, reason),
    };
    questions.iter().map(|question| row(question, None, outcome, &reason)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_shares_of_what_was_asked() {
        let asked = ask("a", HOST, "cores", Some(0.5));
        let question = asked.clone().off_by(0.1);
        assert_eq!((question.least, question.most), (Some(0.45), Some(0.55)));
        assert_eq!(asked.clone().exactly().least, Some(0.5));
        assert_eq!((asked.clone().at_most(1.0).least, asked.at_most(1.0).most), (None, Some(1.0)));
    }

    #[test]
    fn every_question_has_a_row_whatever_became_of_it() {
        let questions = [ask("a", HOST, "cores", Some(0.5)), ask("a", WORK, "cores", None)];
        let of = |answers| rows(&questions, answers, 3, "x", "cpu-quota");
        let outcomes =
            |answers| of(answers).into_iter().map(|row| (row.outcome, row.measured)).collect::<Vec<_>>();
        use ReadingOutcome::{Failed, Measured, NotApplicable};
        assert_eq!(outcomes(Ok(vec![0.5, f64::NAN])), [(Measured, Some(0.5)), (Failed, None)]);
        assert_eq!(outcomes(Ok(vec![])), [(Failed, None); 2]);
        let missing = Error::Missing { what: "no such controller".into(), fix: None };
        assert_eq!(outcomes(Err(missing.into())), [(NotApplicable, None); 2]);
        let failed = of(Err(Refusal::Failed("why".into())));
        assert!(failed.iter().all(|row| row.reason == "why" && row.storm == 3 && row.outcome == Failed));
    }
}
