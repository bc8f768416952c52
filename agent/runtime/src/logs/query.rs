//! The journal's side of a query.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use agent_run::Records;
use sdjournal::{
    EntryRef, Journal, JournalConfig, JournalQuery, LiveJournal, LiveSubscription, SdJournalError,
};
use tokio::sync::mpsc::Sender;
use tracing::debug;

use super::settle::settle;
use super::waiter::{Gone, Waiter};
use super::{JournalError, LogError, LogLine, LogQuery, Stream};

/// Longest wait for a change that nothing tells of, such as a folder of the journal that is made anew.
const LOOK: Duration = Duration::from_secs(10);

/// Longest wait for a journald that is kept busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Entries remembered while history passes over into what comes.
const OVERLAP: usize = 4096;

/// Which entry: sequence number and both clocks.
type Key = (u64, u64, u64);

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    /// The reader is gone.
    Stop,
}

/// One query at work.
pub(super) struct Reader<'a> {
    query: &'a LogQuery,
    dir: &'a Path,
    lines: &'a Sender<Result<LogLine, LogError>>,
    seen: VecDeque<Key>,
    /// Sequence number of the last entry that is dealt with.
    last: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        query: &'a LogQuery,
        dir: &'a Path,
        lines: &'a Sender<Result<LogLine, LogError>>,
    ) -> Self {
        Self {
            query,
            dir,
            lines,
            seen: VecDeque::new(),
            last: 0,
        }
    }

    pub(super) fn run(mut self, gone: Gone) -> Result<(), JournalError> {
        // Before the files are opened: what is written later is not seen in them.
        if self.ended() {
            self.settle(PATIENCE);
        } else if !self.query.follow {
            // It may have ended a moment ago, too.
            self.settle(PATIENCE / 10);
        }
        let journal = open()?;
        // Subscribed before history is read, so that no line falls between.
        let live = if self.query.follow {
            let waiter = Waiter::new(self.dir, gone)?;
            Some((self.subscribe(&journal)?, waiter))
        } else {
            None
        };
        if self.history(&journal)? == Next::Stop {
            return Ok(());
        }
        match live {
            None => Ok(()),
            Some(((live, subscription), mut waiter)) => self.follow(live, &subscription, &mut waiter),
        }
    }

    /// What is there already, from where the query's tail begins.
    fn history(&mut self, journal: &Journal) -> Result<Next, SdJournalError> {
        let mut query = self.terms(journal);
        match self.query.tail {
            Some(0) => {
                query.seek_tail().reverse(true);
                self.last = first(&query)?.map_or(0, |entry| entry.seqnum());
                return Ok(Next::Line);
            }
            Some(tail) => match self.tail_start(journal, tail)? {
                Some(cursor) => drop(query.after_cursor(cursor)),
                None => self.since(&mut query),
            },
            None => self.since(&mut query),
        }
        for entry in query.iter()? {
            if let Some(entry) = readable(entry)?
                && self.pass_on(&entry) == Next::Stop
            {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Line)
    }

    fn since(&self, query: &mut JournalQuery) {
        if let Some(since) = self.query.since {
            query.since_realtime(since);
        }
    }

    /// The entry before the last `tail` lines, found from the end without keeping any line; `None`
    /// where there are no more than that.
    fn tail_start(
        &self,
        journal: &Journal,
        tail: usize,
    ) -> Result<Option<sdjournal::Cursor>, SdJournalError> {
        let mut query = self.terms(journal);
        self.since(&mut query);
        query.seek_tail().reverse(true);
        let mut found = 0;
        for entry in query.iter()? {
            let Some(entry) = readable(entry)? else { continue };
            // journald's own pieces of a line count as one.
            if self.wanted(line(&entry)).is_some_and(|l| !l.partial) {
                found += 1;
            }
            if found > tail {
                return entry.cursor().map(Some);
            }
        }
        Ok(None)
    }

    fn follow(
        &mut self,
        mut live: LiveJournal,
        subscription: &LiveSubscription,
        waiter: &mut Waiter,
    ) -> Result<(), JournalError> {
        loop {
            // Looked at before the journal: what the run wrote last is then still read.
            let ended = self.ended();
            if ended {
                self.settle(PATIENCE);
            }
            live.poll_once()?;
            while let Ok(entry) = subscription.try_recv() {
                let entry = entry?;
                let key = (entry.seqnum(), entry.realtime_usec(), entry.monotonic_usec());
                self.last = self.last.max(entry.seqnum());
                if !self.seen.contains(&key)
                    && self.send(line_of(|field| entry.get(field), entry.realtime_usec())) == Next::Stop
                {
                    return Ok(());
                }
            }
            if ended {
                return Ok(self.rest()?);
            }
            if self.lines.is_closed() {
                return Ok(());
            }
            waiter.wait(LOOK)?;
        }
    }

    /// What of a run that has ended was not dealt with: journald tells those who watch its files later
    /// than it writes them.
    fn rest(&mut self) -> Result<(), SdJournalError> {
        let journal = open()?;
        let mut query = self.terms(&journal);
        query.seek_tail().reverse(true);
        let mut known = None;
        for entry in query.iter()? {
            if let Some(entry) = readable(entry)?.filter(|entry| entry.seqnum() <= self.last) {
                known = Some(entry.cursor()?);
                break;
            }
        }
        let mut query = self.terms(&journal);
        match known {
            Some(known) => drop(query.after_cursor(known)),
            None => self.since(&mut query),
        }
        for entry in query.iter()? {
            if let Some(entry) = readable(entry)?
                && self.pass_on(&entry) == Next::Stop
            {
                break;
            }
        }
        Ok(())
    }

    /// Waits until what was said is written.
    fn settle(&self, longest: Duration) {
        if let Err(error) = settle(longest) {
            let error = &error as &dyn std::error::Error;
            debug!(error, container = %self.query.container, "last lines may be missing");
        }
    }

    /// Whether the run that is read has ended.
    fn ended(&self) -> bool {
        let Some(id) = &self.query.invocation_id else {
            return false;
        };
        Records::read(self.dir).is_ok_and(|records| records.recent.iter().any(|r| r.invocation_id == *id))
    }

    fn pass_on(&mut self, entry: &EntryRef) -> Next {
        self.last = self.last.max(entry.seqnum());
        if self.query.follow {
            if self.seen.len() == OVERLAP {
                self.seen.pop_front();
            }
            self.seen
                .push_back((entry.seqnum(), entry.realtime_usec(), entry.monotonic_usec()));
        }
        self.send(line(entry))
    }

    /// A line, if it came by a stream that is asked for.
    fn wanted(&self, line: Option<LogLine>) -> Option<LogLine> {
        line.filter(|line| self.query.stream.is_none_or(|stream| line.stream == stream))
    }

    fn send(&self, line: Option<LogLine>) -> Next {
        let Some(line) = self.wanted(line) else {
            return Next::Line;
        };
        match self.lines.blocking_send(Ok(line)) {
            Ok(()) => Next::Line,
            Err(_) => Next::Stop,
        }
    }

    fn terms(&self, journal: &Journal) -> JournalQuery {
        let mut query = journal.query();
        for (field, value) in self.fields() {
            query.match_exact(field, value);
        }
        query
    }

    fn subscribe(&self, journal: &Journal) -> Result<(LiveJournal, LiveSubscription), SdJournalError> {
        let mut live = journal.live()?;
        let mut filter = live.filter();
        for (field, value) in self.fields() {
            filter.match_exact(field, value);
        }
        let subscription = live.subscribe(filter)?;
        Ok((live, subscription))
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let query = self.query;
        let run = query
            .invocation_id
            .as_ref()
            .map(|id| ("_SYSTEMD_INVOCATION_ID", id.as_bytes()));
        [
            ("FLOE_POD_UID", query.uid.as_bytes()),
            ("FLOE_CONTAINER", query.container.as_bytes()),
        ]
        .into_iter()
        .chain(run)
    }
}

fn open() -> Result<Journal, SdJournalError> {
    Journal::open_default_with_config(JournalConfig {
        // The waiter waits.
        poll_interval: Duration::ZERO,
        ..JournalConfig::default()
    })
}

/// The first entry of a query that can be read.
fn first(query: &JournalQuery) -> Result<Option<EntryRef>, SdJournalError> {
    for entry in query.iter()? {
        if let Some(entry) = readable(entry)? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Entries that are being written or damaged are passed over; everything else that fails is an error.
fn readable(entry: Result<EntryRef, SdJournalError>) -> Result<Option<EntryRef>, SdJournalError> {
    match entry {
        Ok(entry) => Ok(Some(entry)),
        Err(SdJournalError::Transient { .. } | SdJournalError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn line(entry: &EntryRef) -> Option<LogLine> {
    line_of(|field| entry.get(field), entry.realtime_usec())
}

/// The container's own lines; floe-run and crun speak under their own names.
fn line_of<'e>(get: impl Fn(&str) -> Option<&'e [u8]>, time: u64) -> Option<LogLine> {
    get("SYSLOG_IDENTIFIER").filter(|name| name.contains(&b'/'))?;
    let stream = if get("PRIORITY") == Some(b"3") {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    let broken_by = get("_LINE_BREAK");
    Some(LogLine {
        time,
        stream,
        bytes: get("MESSAGE").unwrap_or_default().to_vec(),
        partial: broken_by == Some(b"line-max"),
        cut_off: broken_by == Some(b"eof"),
    })
}
