//! core: what is done with text, once per sentence or once per turn

use std::time::Duration;

use visavis::agent::dialogue::clauses::Clauses;
use visavis::agent::dialogue::history::History;
use visavis::agent::dialogue::prompt::{self, Brain, Persona};
use visavis::agent::flow::{Ended, Entry, Place, Played, Role, TurnId, UserTurn};
use visavis::engine::tts::normalise::normalise;
use visavis::media::time::MediaTime;

use crate::Function;
use crate::inputs::{Inputs, SENTENCE, SENTENCE_LENGTH, words};
use crate::meter::Call;

/// A question and its answer.
const TURN: Duration = Duration::from_secs(10);

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("clauses of a sentence, token by token", SENTENCE_LENGTH, clauses),
        Function::new("normalise a sentence", SENTENCE_LENGTH, normalised),
        Function::new("history and prompt of 20 turns", TURN, prompt),
    ]
}

fn clauses(_: &Inputs) -> Result<Call, String> {
    let tokens: Vec<&str> = SENTENCE.split_inclusive(' ').collect();
    Ok(Box::new(move |watch| {
        let said = watch.time(|| {
            let (mut clauses, mut said) = (Clauses::new(), 0);
            for token in &tokens {
                clauses.handle(token);
                while clauses.poll().is_some() {
                    said += 1;
                }
            }
            clauses.end();
            while clauses.poll().is_some() {
                said += 1;
            }
            said
        });
        assert!(said > tokens.len(), "every word and at least one boundary");
    }))
}

fn normalised(_: &Inputs) -> Result<Call, String> {
    let words: Vec<String> = SENTENCE.split(' ').map(str::to_owned).collect();
    Ok(Box::new(move |watch| {
        watch.time(|| normalise(&words));
    }))
}

fn prompt(_: &Inputs) -> Result<Call, String> {
    let mut history = History::new();
    for turn in 0..20 {
        let (user, turn) = (UserTurn(turn), TurnId(turn));
        let length = MediaTime::from_ms(6_000);
        history.insert(Place::End, Entry::User(user), Role::User, SENTENCE).expect("a new turn");
        history.begin_reply(turn).expect("a new turn");
        let ended = Some(Ended::Complete);
        let (ready, first_sound, faded) = (None, None, None);
        history.played(&Played { turn, words: words(length), played: length, ready, first_sound, faded, ended });
    }
    let persona = Persona { name: "Theo".to_owned(), instructions: SENTENCE.to_owned(), ..Persona::default() };
    Ok(Box::new(move |watch| {
        watch.time(|| prompt::messages(&persona, Brain::Full, None, history.messages(Some("And then?"), true, 4_000)));
    }))
}
