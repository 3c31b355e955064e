//! task: gives the seats of a language model to whoever asks, and takes them back from whoever leaves
//!
//! The model lives on a thread of its own, at a low priority. Between two steps (100 ms at most) the desk looks who has
//! gone and who has come, so a caller that interrupts the agent frees its seat before the next token.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Answer, Answers};
use crate::engine::model::{Chat, Finish, Generator, ModelError, Piece};
use crate::engine::worker::{Busy, Source, Worker};
use crate::metrics::{BatchMeter, BatchedStage, Guard, Metrics, QueuedStage, Seats, Stage};
use crate::runtime::{clock, lane};

/// A handle to a model on its thread, which ends when the last handle goes.
#[derive(Clone)]
pub struct Desk {
    model: Arc<str>,
    worker: Worker<Job>,
    /// One permit for every answer being given or waited for.
    permits: Arc<Semaphore>,
    meter: Seats,
}

pub struct Job {
    chat: Chat,
    reply: mpsc::Sender<Piece>,
}

impl Desk {
    /// Starts the thread. `load` makes the model there and says with [`serve`] that it is ready; the error of a model
    /// that does not load is given back. Blocks until then. `promised`: answers given or waited for at a time; one more
    /// is refused.
    pub fn start<E: Send + 'static>(
        model: &str,
        promised: usize,
        metrics: &Metrics,
        load: impl FnOnce(Ready<'_, E>) -> Result<(), E> + Send + 'static,
    ) -> Result<Self, StartError<E>> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Jobs of callers that have just left lie here until the next step: the permits keep the real count.
        let batches = metrics.batches(BatchedStage::Llm);
        let worker = Worker::start("llm", promised * 8, metrics.queue(QueuedStage::Llm), move |source| {
            let ready = Ready { source, tell: &tell, batches };
            if let Err(error) = load(ready) {
                // Whoever started us may have gone; then nobody wants to know.
                let _ = tell.send(Err(error));
            }
        });
        match told.recv() {
            Ok(Ok(())) => Ok(Self {
                model: model.into(),
                worker,
                permits: Arc::new(Semaphore::new(promised)),
                meter: metrics.seats(Stage::Llm, promised),
            }),
            Ok(Err(error)) => Err(StartError::Load(error)),
            Err(_) => Err(StartError::Panicked),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError<E> {
    #[error(transparent)]
    Load(E),
    #[error("the language model panicked while it was loaded")]
    Panicked,
}

/// The thread's side of a start.
pub struct Ready<'a, E> {
    source: Source<Job>,
    tell: &'a std::sync::mpsc::SyncSender<Result<(), E>>,
    batches: BatchMeter,
}

impl<E> Ready<'_, E> {
    /// The model is there: runs it until the last handle goes.
    pub fn serve(self, model: impl Generator) {
        let _ = self.tell.send(Ok(()));
        run(model, self.source, &self.batches);
    }
}

impl Answers for Desk {
    fn model(&self) -> &str {
        &self.model
    }

    fn ask(&self, chat: Chat) -> Result<Answer, Busy> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Busy).inspect_err(|_| self.meter.refuse())?;
        let counted = self.meter.take();
        // Deep enough for every token that may come: the model's thread never waits for a slow reader.
        let (reply, pieces) = lane::waiting(chat.max_tokens as usize + 2);
        let queued = self.worker.submit(clock::now() + PATIENCE, Job { chat, reply });
        queued.inspect_err(|_| self.meter.refuse())?;
        Ok(stream::unfold(Some((pieces, permit, counted)), next_piece).fuse().boxed())
    }

    fn is_well(&self) -> bool {
        !self.worker.is_gone()
    }
}

/// First come, first served: all have the same patience.
const PATIENCE: Duration = Duration::from_secs(1);

type Receiving = (mpsc::Receiver<Piece>, OwnedSemaphorePermit, Guard);

async fn next_piece(receiving: Option<Receiving>) -> Option<(Piece, Option<Receiving>)> {
    let (mut pieces, permit, counted) = receiving?;
    match pieces.recv().await {
        Some(piece @ Piece::Text(_)) => Some((piece, Some((pieces, permit, counted)))),
        Some(last) => Some((last, None)),
        None => Some((Piece::Failed("the language model is gone".into()), None)),
    }
}

/// The loop of the model's thread.
fn run(mut model: impl Generator, mut source: Source<Job>, batches: &BatchMeter) {
    let mut seats: Vec<Option<Taken>> = (0..model.seats()).map(|_| None).collect();
    let mut waiting: VecDeque<Job> = VecDeque::new();
    loop {
        if waiting.is_empty() && seats.iter().all(Option::is_none) {
            match source.next() {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        waiting.extend(std::iter::from_fn(|| source.try_next()));
        waiting.retain(|job| !job.reply.is_closed());
        for (seat, taken) in seats.iter_mut().enumerate() {
            if taken.as_ref().is_some_and(|t| t.reply.is_closed()) {
                model.abandon(seat);
                *taken = None;
            }
            if taken.is_none()
                && let Some(job) = waiting.pop_front()
            {
                match model.begin(seat, &job.chat) {
                    Ok(()) => *taken = Some(Taken { reply: job.reply, stop: StopWords::new(job.chat.stop) }),
                    Err(error) => fail(&job.reply, &error),
                }
            }
        }
        if seats.iter().all(Option::is_none) {
            continue;
        }
        batches.ran(seats.iter().flatten().count());
        match model.step() {
            Ok(pieces) => {
                for (seat, piece) in pieces {
                    let Some(taken) = &mut seats[seat] else { continue };
                    let over = taken.say(piece);
                    if over == Over::Stopped {
                        model.abandon(seat);
                    }
                    if over != Over::No {
                        seats[seat] = None;
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the language model failed: every answer of this moment is lost");
                for (seat, taken) in seats.iter_mut().enumerate() {
                    if let Some(taken) = taken.take() {
                        model.abandon(seat);
                        fail(&taken.reply, &error);
                    }
                }
            }
        }
    }
}

fn fail(reply: &mpsc::Sender<Piece>, error: &ModelError) {
    // The lane has room for every piece and this one; closed means that nobody cares.
    let _ = reply.try_send(Piece::Failed(error.to_string()));
}

/// A seat with somebody on it.
struct Taken {
    reply: mpsc::Sender<Piece>,
    stop: StopWords,
}

#[derive(PartialEq)]
enum Over {
    No,
    /// The model has ended the answer.
    Ended,
    /// We have: the model does not know yet.
    Stopped,
}

impl Taken {
    fn say(&mut self, piece: Piece) -> Over {
        // As above: there is room, or nobody listens.
        match piece {
            Piece::Text(text) => {
                let (text, stopped) = self.stop.filter(&text);
                if !text.is_empty() {
                    let _ = self.reply.try_send(Piece::Text(text));
                }
                if !stopped {
                    return Over::No;
                }
                let usage = self.stop.usage();
                let _ = self.reply.try_send(Piece::Done { finish: Finish::Stop, usage });
                Over::Stopped
            }
            last => {
                let held = self.stop.rest();
                if !held.is_empty() {
                    let _ = self.reply.try_send(Piece::Text(held));
                }
                let _ = self.reply.try_send(last);
                Over::Ended
            }
        }
    }
}

/// Finds the words that end an answer, even when they come in pieces: holds back what may become one.
#[derive(Debug, Default)]
struct StopWords {
    words: Vec<String>,
    held: String,
    pieces: u32,
}

impl StopWords {
    fn new(words: Vec<String>) -> Self {
        Self { words: words.into_iter().filter(|w| !w.is_empty()).collect(), ..Self::default() }
    }

    /// What can be said now, and whether the answer ends there.
    fn filter(&mut self, text: &str) -> (String, bool) {
        self.pieces += 1;
        if self.words.is_empty() {
            return (text.to_owned(), false);
        }
        self.held.push_str(text);
        if let Some(at) = self.words.iter().filter_map(|w| self.held.find(w.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let safe = self
            .held
            .char_indices()
            .map(|(at, _)| at)
            .find(|&at| self.words.iter().any(|w| w.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len());
        let said = self.held[..safe].to_owned();
        self.held.drain(..safe);
        (said, false)
    }

    fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Of an answer that we stopped, only the number of its pieces is known here.
    fn usage(&self) -> crate::engine::model::TokenUsage {
        crate::engine::model::TokenUsage { generated: self.pieces, ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::TokenUsage;
    use std::sync::Mutex;

    /// A model that says "a b c …" on every seat, one letter per step, and writes down what happens to it.
    struct Letters {
        said: Vec<Option<(u8, u32)>>,
        log: Arc<Mutex<Vec<String>>>,
        gate: Option<std::sync::mpsc::Receiver<()>>,
    }

    impl Generator for Letters {
        fn seats(&self) -> usize {
            self.said.len()
        }
        fn begin(&mut self, seat: usize, chat: &Chat) -> Result<(), ModelError> {
            if chat.max_tokens == 0 {
                return Err(ModelError::Failed("asked for nothing".into()));
            }
            self.log.lock().unwrap().push(format!("begin {seat}"));
            self.said[seat] = Some((b'a', chat.max_tokens));
            Ok(())
        }
        fn step(&mut self) -> Result<Vec<(usize, Piece)>, ModelError> {
            if let Some(gate) = &self.gate {
                let _ = gate.recv();
            }
            let mut pieces = vec![];
            for (seat, said) in self.said.iter_mut().enumerate() {
                let Some((letter, left)) = said else { continue };
                pieces.push((seat, Piece::Text((*letter as char).to_string())));
                assert!(*letter < b'z', "this model knows no more letters");
                *letter += 1;
                *left -= 1;
                if *left == 0 {
                    pieces.push((seat, Piece::Done { finish: Finish::Length, usage: TokenUsage::default() }));
                    *said = None;
                }
            }
            Ok(pieces)
        }
        fn abandon(&mut self, seat: usize) {
            self.log.lock().unwrap().push(format!("abandon {seat}"));
            self.said[seat] = None;
        }
    }

    fn desk(gate: Option<std::sync::mpsc::Receiver<()>>, promised: usize) -> (Desk, Arc<Mutex<Vec<String>>>) {
        counted_desk(gate, promised, &Metrics::new())
    }

    fn counted_desk(
        gate: Option<std::sync::mpsc::Receiver<()>>,
        promised: usize,
        metrics: &Metrics,
    ) -> (Desk, Arc<Mutex<Vec<String>>>) {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let model = Letters { said: vec![None, None], log: log.clone(), gate };
        let desk = Desk::start("letters", promised, metrics, move |ready: Ready<'_, ModelError>| {
            ready.serve(model);
            Ok(())
        });
        (desk.unwrap(), log)
    }

    fn chat(max_tokens: u32, stop: &[&str]) -> Chat {
        Chat { max_tokens, stop: stop.iter().map(|s| s.to_string()).collect(), ..Chat::default() }
    }

    async fn text(answer: Answer) -> (String, Piece) {
        let mut pieces: Vec<Piece> = answer.collect().await;
        let last = pieces.pop().unwrap();
        let text =
            pieces.iter().map(|p| if let Piece::Text(t) = p { t.as_str() } else { panic!("{p:?} is not the last") });
        (text.collect(), last)
    }

    /// More ask than there are seats: all are answered, two at a time.
    #[tokio::test]
    async fn everybody_gets_an_answer() {
        let (desk, _) = desk(None, 5);
        let answers: Vec<_> = (0..5).map(|_| desk.ask(chat(4, &[])).unwrap()).collect();
        for answer in answers {
            assert!(matches!(text(answer).await, (said, Piece::Done { finish: Finish::Length, .. }) if said == "abcd"));
        }
    }

    /// One more than promised is refused; a caller that leaves frees its place at once and its seat before the next
    /// token.
    #[tokio::test]
    async fn leaving_frees_the_seat() {
        let (open, gate) = std::sync::mpsc::sync_channel(1);
        let (desk, log) = desk(Some(gate), 3);
        let mut first = desk.ask(chat(100, &[])).unwrap();
        let second = desk.ask(chat(2, &[])).unwrap();
        let third = desk.ask(chat(2, &[])).unwrap();
        assert!(desk.ask(chat(2, &[])).is_err());
        open.send(()).unwrap();
        assert_eq!(first.next().await, Some(Piece::Text("a".into())));
        drop(first);
        let fourth = desk.ask(chat(3, &[])).expect("a place is free again");
        drop(open);
        assert_eq!(text(second).await.0, "ab");
        assert_eq!(text(third).await.0, "ab");
        assert_eq!(text(fourth).await.0, "abc");
        assert!(
            log.lock().unwrap().iter().filter(|l| l.starts_with("abandon")).count() == 1,
            "{:?}",
            log.lock().unwrap()
        );
    }

    /// The answer ends before a stop word, even one that came letter by letter; what only began like one is said.
    #[tokio::test]
    async fn stop_words_stop() {
        let (desk, _) = desk(None, 4);
        for (stop, want) in [(&["de"][..], "abc"), (&["dx"], "abcdef"), (&["ef"], "abcd"), (&["fg", ""], "abcdef")] {
            let (said, last) = text(desk.ask(chat(6, stop)).unwrap()).await;
            assert_eq!(said, want, "{stop:?}");
            assert!(matches!(last, Piece::Done { .. }));
        }
    }

    /// A request that the model cannot begin fails alone; a model that panics is gone, and that is said and counted.
    #[tokio::test]
    async fn failures_are_told() {
        let metrics = Metrics::new();
        let (desk, _) = counted_desk(None, 4, &metrics);
        assert!(desk.is_well());
        assert!(
            matches!(text(desk.ask(chat(0, &[])).unwrap()).await.1, Piece::Failed(why) if why.contains("asked for nothing"))
        );
        assert_eq!(text(desk.ask(chat(1, &[])).unwrap()).await.0, "a");
        assert!(matches!(text(desk.ask(chat(200, &[])).unwrap()).await.1, Piece::Failed(why) if why.contains("gone")));
        // Refused, or (while the thread is still falling) lost: never silence.
        if let Ok(answer) = desk.ask(chat(1, &[])) {
            assert!(matches!(text(answer).await.1, Piece::Failed(_)));
        }
        while desk.is_well() {
            tokio::task::yield_now().await;
        }
        let refused = || {
            let page = metrics.render();
            let line = page.lines().find(|l| l.starts_with("visavis_engine_seats_refused_total{stage=\"llm\"}"));
            line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let before = refused();
        assert!(desk.ask(chat(1, &[])).is_err());
        assert_eq!(refused(), before + 1, "a place was free, and nobody to serve it");
        let load = Desk::start("none", 1, &Metrics::new(), |_| Err(ModelError::Failed("no such file".into())));
        assert_eq!(load.err().unwrap().to_string(), "the model failed: no such file");
    }
}
