//! core: what one caller does, turn by turn, by a scenario and chance
//! In:    a scenario, a seed, the caller's number.
//! Out:   when each caller dials; then turn after turn: how long it is silent, what it says, and how it takes the answer.
//! Law:   the same seed gives every caller the same plan, whatever the others do and however long answers take.

use std::time::Duration;

use fastrand::Rng;

use super::scenario::{Arrive, Order, Scenario, Span};

/// How many utterances a caller can choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// To ask with; at least one.
    pub say: usize,
    /// To talk over answers with.
    pub talk_over: usize,
}

/// One caller's way through a scenario. Never ends by itself unless the scenario says how many turns a call has.
#[derive(Clone, Debug)]
pub struct Plan {
    random: Rng,
    choice: Choice,
    order: Order,
    next: usize,
    turns: Option<u32>,
    done: u32,
    pause: Span,
    talk_over: Option<(f64, Span)>,
    leave: (f64, Span),
    again_after: Option<Span>,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// Silence before it.
    pub pause: Duration,
    /// Which utterance.
    pub say: usize,
    pub then: Then,
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// It is listened to.
    Hear,
    /// `after` its first sound the caller says another utterance over it, and listens to what comes of that.
    TalkOver { after: Duration, say: usize },
    /// `after` its first sound the caller is gone.
    Leave { after: Duration },
}

/// When each of `callers` dials, counted from the step's beginning; in order.
///
/// A step is about a number of callers: where they would still be arriving at the end of its `warmup`, they arrive faster,
/// in the same proportions, and all are there by then. Without a warm-up there is nothing to keep free of arrivals.
pub fn arrivals(arrive: Arrive, seed: u64, callers: usize, warmup: Duration) -> Vec<Duration> {
    let mut arrivals = as_they_come(arrive, seed, callers);
    let last = arrivals.last().copied().unwrap_or_default();
    if !warmup.is_zero() && last > warmup {
        let faster = warmup.div_duration_f64(last);
        arrivals.iter_mut().for_each(|at| *at = at.mul_f64(faster).min(warmup));
    }
    arrivals
}

fn as_they_come(arrive: Arrive, seed: u64, callers: usize) -> Vec<Duration> {
    let mut random = of(seed, u64::MAX);
    let mut at = Duration::ZERO;
    (0..callers)
        .map(|caller| match arrive {
            Arrive::AtOnce => Duration::ZERO,
            Arrive::Ramp(over) => over.mul_f64(caller as f64 / callers as f64),
            Arrive::Poisson(per_s) => {
                // The time between independent arrivals is exponential; 1 − u is never 0.
                at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / per_s);
                at
            }
        })
        .collect()
}

impl Plan {
    /// # Panics
    /// Without anything to say.
    pub fn new(scenario: &Scenario, seed: u64, caller: usize, choice: Choice) -> Self {
        assert!(choice.say > 0, "a caller has something to say");
        let mut random = of(seed, caller as u64);
        Self {
            next: match scenario.say.order {
                Order::InOrder => caller % choice.say,
                Order::AtRandom => random.usize(..choice.say),
            },
            random,
            choice,
            order: scenario.say.order,
            turns: scenario.turns,
            done: 0,
            pause: scenario.pause,
            talk_over: scenario.talk_over.as_ref().map(|over| (over.probability, over.after)),
            leave: (scenario.hang_up.mid_answer, scenario.hang_up.after),
            again_after: scenario.again_after,
        }
    }

    /// The next turn of this call; `None` when the call has had all of its turns.
    pub fn turn(&mut self) -> Option<Turn> {
        if self.turns.is_some_and(|turns| self.done >= turns) {
            return None;
        }
        self.done += 1;
        let pause = self.within(self.pause);
        let say = self.next;
        self.next = match self.order {
            Order::InOrder => (self.next + 1) % self.choice.say,
            Order::AtRandom => self.random.usize(..self.choice.say),
        };
        let then = if self.random.f64() < self.leave.0 {
            Then::Leave { after: self.within(self.leave.1) }
        } else {
            self.talks_over().map_or(Then::Hear, |(after, say)| Then::TalkOver { after, say })
        };
        Some(Turn { pause, say, then })
    }

    /// The call is over: how long until the next, if there is one. Turns count anew.
    pub fn again(&mut self) -> Option<Duration> {
        self.done = 0;
        self.again_after.map(|span| self.within(span))
    }

    fn talks_over(&mut self) -> Option<(Duration, usize)> {
        let (probability, after) = self.talk_over?;
        let wanted = self.random.f64() < probability && self.choice.talk_over > 0;
        wanted.then(|| (self.within(after), self.random.usize(..self.choice.talk_over)))
    }

    fn within(&mut self, span: Span) -> Duration {
        span.from + (span.to - span.from).mul_f64(self.random.f64())
    }
}

/// A source of chance for one purpose. Neighbouring seeds and callers get unrelated ones: splitmix64's finaliser
/// (Steele, Lea, Flood 2014) mixes them.
fn of(seed: u64, whom: u64) -> Rng {
    let mut x = seed.wrapping_add(whom.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Rng::with_seed(x ^ (x >> 31))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CHOICE: Choice = Choice { say: 7, talk_over: 2 };

    fn scenario(text: &str) -> Scenario {
        Scenario::parse("s", Path::new("s.yaml"), text).unwrap()
    }

    fn turns(scenario: &Scenario, seed: u64, caller: usize) -> Vec<Turn> {
        let mut plan = Plan::new(scenario, seed, caller, CHOICE);
        (0..400).map_while(|_| plan.turn()).collect()
    }

    /// The same seed, the same plan; another seed or another caller, another one.
    #[test]
    fn chance_is_decided_by_the_seed() {
        let wild = scenario(
            "say: { from: phrases, order: at_random }\npause_s: [0, 2]\n\
             talk_over: { probability: 0.4, after_s: [1, 3], say: phrases }\nhang_up: { mid_answer: 0.1, after_s: [0, 1] }\n",
        );
        assert_eq!(turns(&wild, 5, 3), turns(&wild, 5, 3));
        assert_ne!(turns(&wild, 5, 3), turns(&wild, 6, 3));
        assert_ne!(turns(&wild, 5, 3), turns(&wild, 5, 4));
        let poisson = Arrive::Poisson(2.0);
        assert_eq!(as_they_come(poisson, 1, 50), as_they_come(poisson, 1, 50));
        assert_ne!(as_they_come(poisson, 1, 50), as_they_come(poisson, 2, 50));
    }

    /// Shares and times are as the scenario says.
    #[test]
    fn plans_keep_to_their_scenario() {
        let wild = scenario(
            "say: { from: phrases, order: at_random }\npause_s: [0.5, 2]\n\
             talk_over: { probability: 0.5, after_s: [1, 3], say: phrases }\nhang_up: { mid_answer: 0.2, after_s: [4, 5] }\n",
        );
        let all: Vec<Turn> = (0..10).flat_map(|caller| turns(&wild, 1, caller)).collect();
        let (mut over, mut left) = (0, 0);
        for turn in &all {
            assert!((0.5..=2.0).contains(&turn.pause.as_secs_f64()) && turn.say < CHOICE.say);
            match turn.then {
                Then::Hear => {}
                Then::TalkOver { after, say } => {
                    assert!((1.0..=3.0).contains(&after.as_secs_f64()) && say < CHOICE.talk_over);
                    over += 1;
                }
                Then::Leave { after } => {
                    assert!((4.0..=5.0).contains(&after.as_secs_f64()));
                    left += 1;
                }
            }
        }
        let share = |count: usize| count as f64 / all.len() as f64;
        // A fifth leaves, half of the rest talks over; 4000 draws are within two percent points of that.
        assert!((share(left) - 0.2).abs() < 0.02 && (share(over) - 0.4).abs() < 0.02, "{left} {over} of {}", all.len());
        let said = |n: usize| all.iter().filter(|turn| turn.say == n).count();
        assert!((0..CHOICE.say).all(|n| said(n) > 400), "all are said");
    }

    /// In order means round and round, beginning elsewhere for each caller; turns are counted per call.
    #[test]
    fn order_and_number_of_turns() {
        let plain = scenario("say: { from: phrases }\nturns: 9\nagain_after_s: 3\n");
        let said = |caller| turns(&plain, 1, caller).into_iter().map(|turn| turn.say).collect::<Vec<_>>();
        assert_eq!(said(0), [0, 1, 2, 3, 4, 5, 6, 0, 1]);
        assert_eq!(said(12), [5, 6, 0, 1, 2, 3, 4, 5, 6]);
        let mut plan = Plan::new(&plain, 1, 0, CHOICE);
        while plan.turn().is_some() {}
        assert_eq!(plan.again(), Some(Duration::from_secs(3)));
        assert_eq!(plan.turn().map(|turn| turn.say), Some(2), "it goes on where it was");
        let once = scenario("say: { from: phrases }\n");
        assert_eq!(Plan::new(&once, 1, 0, CHOICE).again(), None);
        assert_eq!(turns(&once, 1, 0).len(), 400, "endless");
    }

    /// Callers come as they were told to.
    #[test]
    fn arrivals_have_their_pace() {
        assert_eq!(as_they_come(Arrive::AtOnce, 1, 3), [Duration::ZERO; 3]);
        let ramp = as_they_come(Arrive::Ramp(Duration::from_secs(8)), 1, 4);
        assert_eq!(ramp, [0, 2, 4, 6].map(Duration::from_secs));
        let poisson = as_they_come(Arrive::Poisson(5.0), 1, 2000);
        assert!(poisson.is_sorted());
        let took = poisson[1999].as_secs_f64();
        assert!((380.0..420.0).contains(&took), "2000 at 5 per second took {took} s");
        // Of exponential gaps 1 − 1/e are shorter than the mean: a ramp would have none.
        let short = poisson.windows(2).filter(|pair| (pair[1] - pair[0]).as_secs_f64() < 0.2).count();
        assert!((1180..1340).contains(&short), "{short}");
    }

    /// All are there when a step begins to count; who would be anyway come as they would.
    #[test]
    fn everybody_has_come_by_the_end_of_the_warm_up() {
        let seconds = Duration::from_secs;
        let ramp = arrivals(Arrive::Ramp(seconds(40)), 1, 4, seconds(6));
        assert_eq!(ramp, [0, 2, 4, 6].map(seconds));
        let poisson = Arrive::Poisson(0.5);
        let (hurried, calm) = (arrivals(poisson, 1, 50, seconds(5)), as_they_come(poisson, 1, 50));
        assert!(hurried.is_sorted() && hurried[49] == seconds(5));
        let shrunk = |n: usize| hurried[n].div_duration_f64(calm[n]);
        assert!((0..50).all(|n| (shrunk(n) - shrunk(49)).abs() < 1e-6), "in the same proportions");
        assert_eq!(arrivals(poisson, 1, 50, seconds(1_000)), calm);
        assert_eq!(arrivals(poisson, 1, 50, Duration::ZERO), calm);
    }
}
