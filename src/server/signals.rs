//! The signals that end the program, and those that it takes without ending.

use std::fmt;
use std::fs;
use std::future::pending;
use std::io;

use thiserror::Error;
use tokio::signal::unix::{self, SignalKind};

/// A signal that asks the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, as Kubernetes and systemd send it.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGHUP, as a terminal that goes sends it. It ends what is no service.
    Hangup,
}

impl Signal {
    /// The exit code of a process that the signal ended: 128 and the signal's number.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
            Self::Hangup => 128 + 1,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        })
    }
}

/// Why signals can't be waited for.
#[derive(Debug, Error)]
#[error("cannot listen for signals: {0}")]
pub struct SignalError(#[from] io::Error);

/// The signals that ask the program to end.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Takes the signals of a service from here on: SIGHUP is for whoever else listens to it, and SIGUSR1 and SIGUSR2 do
    /// nothing. Has to be called within a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen() -> Result<Self, SignalError> {
        // Taken once, a signal does not end the process any more, also when nobody listens.
        for kind in [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ] {
            drop(unix::signal(kind)?);
        }
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: None,
        })
    }

    /// As [`Signals::listen`], for a program whose work belongs to a terminal: SIGHUP ends it too, unless it was started to
    /// ignore that, as nohup does.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen_at_terminal() -> Result<Self, SignalError> {
        let is_ignored = is_ignored(SignalKind::hangup());
        let mut signals = Self::listen()?;
        if !is_ignored {
            signals.hangup = Some(unix::signal(SignalKind::hangup())?);
        }
        Ok(signals)
    }

    /// The next one, which may have come since the last call.
    pub async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = hangup => Signal::Hangup,
        }
    }
}

/// Whether the process was started to ignore a signal.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
