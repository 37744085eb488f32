//! An import by a running service.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::arguments::ImportArguments;
use super::chunks::{self, Chunk, Piece};
use super::input;
use super::report::{self, ChunkRow, Totals};
use crate::cli::client::{Exit, Failure, Output, connect};
use crate::client::{self, CallError, ChunkAnswer, ChunkSender, Connection, ImportSettings};
use crate::domain::RequestId;
use crate::server::{Signal, Signals};

pub async fn run(arguments: &ImportArguments) -> Result<Exit, Failure> {
    let connection = connect(&arguments.client).await?;
    let account = arguments.client.account().map_err(Failure::Usage)?;
    let input = input::open(&arguments.file).map_err(Failure::Usage)?;
    let signals =
        Signals::listen_at_terminal().map_err(|error| Failure::Failed(error.to_string()))?;
    let from = arguments.from_line.map_or(1, NonZeroU64::get);
    let token = arguments.client_token.clone();
    let online = Online {
        connection,
        settings: ImportSettings {
            mode: arguments.mode.into(),
            dry_run: arguments.dry_run,
            token: token.unwrap_or_else(|| RequestId::now().to_string()),
        },
        output: arguments.client.output(),
        bar: input.bar,
        signals,
        totals: Totals::default(),
        open: VecDeque::new(),
        next: from,
        unanswered: 0,
        exit: Exit::Done,
    };
    online.run(chunks::read(input.lines, from, account)).await
}

/// An import, and what it has come to so far.
struct Online {
    connection: Connection,
    settings: ImportSettings,
    output: Output,
    bar: ProgressBar,
    signals: Signals,
    totals: Totals,
    /// The first and the last lines of the chunks that were sent and may not be done.
    open: VecDeque<(u64, u64)>,
    /// The line behind those.
    next: u64,
    /// How many chunks have no answer yet.
    unanswered: usize,
    exit: Exit,
}

/// A stream of chunks of one account, and what comes of it.
struct Stream {
    import: client::ImportStream,
    /// The way to send chunks; none once no more are to be sent.
    sender: Option<ChunkSender>,
    /// The chunk that is to be sent next.
    pending: Option<Chunk>,
    /// The first chunk of another account.
    other: Option<Chunk>,
    end: End,
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With all of its chunks.
    Whole,
    /// Before: the rest of the file is left.
    Early,
}

/// What has happened to a stream.
enum Event {
    Read(Option<Piece>),
    Sent(bool),
    Answered(Result<Option<ChunkAnswer>, CallError>),
    Signalled(Signal),
}

/// How long nothing is waited for that need not come.
const FOREVER: Duration = Duration::from_hours(24 * 365);

impl Online {
    async fn run(mut self, mut pieces: mpsc::Receiver<Piece>) -> Result<Exit, Failure> {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(chunk) => chunk,
                None => match pieces.recv().await {
                    Some(Piece::Chunk(chunk)) => chunk,
                    Some(Piece::Bad(problem) | Piece::Broken(problem)) => {
                        self.refuse(&problem);
                        continue;
                    }
                    None => break,
                },
            };
            let resume_at = first.first_line;
            let stream = match self.begin(first).await {
                Ok(stream) => stream,
                Err(error) => {
                    self.fail(error);
                    return self.sum_up(Some(resume_at));
                }
            };
            let stream = self.carry_out(stream, &mut pieces).await?;
            if stream.end == End::Early {
                let open = self.open.front().map(|(first, _)| *first);
                let rest = open.unwrap_or(self.next);
                return self.sum_up(Some(rest));
            }
            next = stream.other;
        }
        self.sum_up(None)
    }

    /// Begins the stream of a chunk's account.
    async fn begin(&self, first: Chunk) -> Result<Stream, CallError> {
        let mut import = client::import(&self.connection, &first.account, &self.settings).await?;
        Ok(Stream {
            sender: import.sender(),
            import,
            pending: Some(first),
            other: None,
            end: End::Whole,
        })
    }

    /// Sends chunks as long as they are of one account, and takes the answers.
    async fn carry_out(
        &mut self,
        mut stream: Stream,
        pieces: &mut mpsc::Receiver<Piece>,
    ) -> Result<Stream, Failure> {
        let account = stream.pending.as_ref().map(|chunk| chunk.account.clone());
        loop {
            match self.next(&mut stream, pieces).await {
                Event::Read(Some(Piece::Chunk(chunk)))
                    if Some(&chunk.account) == account.as_ref() =>
                {
                    stream.pending = Some(chunk);
                }
                Event::Read(Some(Piece::Chunk(chunk))) => {
                    (stream.other, stream.sender) = (Some(chunk), None);
                }
                Event::Read(Some(Piece::Bad(problem))) => self.refuse(&problem),
                Event::Read(Some(Piece::Broken(problem))) => {
                    self.refuse(&problem);
                    stream.sender = None;
                }
                // The answer says why it takes no more.
                Event::Read(None) | Event::Sent(false) => stream.sender = None,
                Event::Sent(true) => {
                    if let Some(sent) = stream.pending.take() {
                        self.open.push_back((sent.first_line, sent.last_line));
                        self.next = sent.last_line + 1;
                    }
                    self.unanswered += 1;
                }
                Event::Answered(Ok(Some(answer))) => self.take(&answer)?,
                Event::Answered(Ok(None)) => {
                    if stream.end == End::Whole && stream.pending.is_some() {
                        // It has taken no more, and not said why.
                        stream.end = End::Early;
                    } else {
                        self.open.clear();
                    }
                    return Ok(stream);
                }
                Event::Answered(Err(error)) => {
                    self.fail(error);
                    stream.end = End::Early;
                    return Ok(stream);
                }
                Event::Signalled(signal) => {
                    self.exit = signal.into();
                    if stream.end == End::Early {
                        self.say(&format!("ended by {signal}"));
                        return Ok(stream);
                    }
                    self.say(&format!(
                        "{signal}: stopping after what is under way; once more stops at once"
                    ));
                    (stream.end, stream.sender) = (End::Early, None);
                }
            }
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self, stream: &mut Stream, pieces: &mut mpsc::Receiver<Piece>) -> Event {
        let Stream {
            import,
            sender,
            pending,
            ..
        } = stream;
        let is_waited_for = self.unanswered > 0 || sender.is_none();
        let patience = if is_waited_for {
            import.patience()
        } else {
            FOREVER
        };
        let reads = sender.is_some() && pending.is_none();
        tokio::select! {
            biased;
            signal = self.signals.next() => Event::Signalled(signal),
            answer = timeout(patience, import.answer()) => Event::Answered(match answer {
                Ok(answer) => answer,
                Err(_) => Err(import.late()),
            }),
            is_sent = send(sender.as_ref(), pending.as_mut()), if pending.is_some() => Event::Sent(is_sent),
            piece = pieces.recv(), if reads => Event::Read(piece),
        }
    }

    /// Takes what became of a chunk.
    fn take(&mut self, answer: &ChunkAnswer) -> Result<(), Failure> {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.totals.add(answer);
        self.open.retain(|(_, last)| *last >= answer.resume_line);
        for line in &answer.refused {
            self.exit = self.exit.max(Exit::Failed);
            self.say(&report::refused(line));
        }
        // For people the sum is enough.
        if !self.output.is_table() {
            let row = ChunkRow::of(answer, self.settings.dry_run);
            self.output.result("", &row)?;
        }
        Ok(())
    }

    /// Tells of something in the file that can't be imported.
    fn refuse(&mut self, problem: &str) {
        self.totals.refused += 1;
        self.exit = self.exit.max(Exit::Failed);
        self.say(problem);
    }

    fn fail(&mut self, error: CallError) {
        self.exit = self.exit.max(Exit::from(&error));
        self.say(&Failure::from(error).to_string());
    }

    fn say(&self, what: &str) {
        self.bar.suspend(|| eprintln!("untag: {what}"));
    }

    /// Says what was imported, and how to go on where the rest of the file is left, from this line on.
    fn sum_up(mut self, rest: Option<u64>) -> Result<Exit, Failure> {
        self.bar.finish_and_clear();
        let mut sum = self
            .totals
            .sentence(self.settings.dry_run, "by the service");
        if let Some(line) = rest {
            let token = &self.settings.token;
            let _ = write!(
                sum,
                "; stopped before line {line}: go on with --from-line {line} --client-token {token:?}"
            );
        }
        if self.output.is_table() && self.exit == Exit::Done {
            self.output.result(&sum, &())?;
        } else {
            eprintln!("untag: {sum}");
        }
        Ok(self.exit)
    }
}

/// Sends a chunk, once there is room. Returns whether the stream still takes any. The chunk keeps its place in the file.
async fn send(sender: Option<&ChunkSender>, chunk: Option<&mut Chunk>) -> bool {
    match (sender, chunk) {
        (Some(sender), Some(chunk)) => sender.send(|| chunk.take_lines()).await,
        _ => std::future::pending().await,
    }
}
