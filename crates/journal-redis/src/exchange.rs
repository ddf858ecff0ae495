//! Exchanges with the server about the log's end: appending there, looking what is there, and waiting until it is safe.

use crate::entry::{Batch, Entry, Misfit, Tip, number_of, text_of};
use crate::known::{Known, Stored};
use crate::link::Link;
use crate::{LOOKS_AGAIN, RedisJournal, Writer, call, lock, millis};
use redis::{Cmd, Connection, ErrorKind, RedisError, RedisResult, Value};
use std::io;
use trialog_journal::Error;

/// How many bytes of others' records come along with the reply to an append, and are searched for one that arrives again.
const NEWS_BYTES_MAX: u32 = 256 << 10;

/// What an exchange is for.
enum What<'a> {
    Append(&'a Append<'a>),
    Look,
    /// To write something of no meaning, and wait until it has gone wherever the options say.
    Touch,
}

struct Append<'a> {
    batch: &'a [u8],
    crc: String,
    count: u64,
    /// Where the log must end, if it matters.
    at: Option<u64>,
}

/// What a server answers.
enum Answer {
    Seen(Look),
    /// The log ends elsewhere than it must for this batch.
    Moved,
    /// Too much was appended, or some was trimmed, since this writer was told where the log ends: a batch that
    /// is there already would not be recognised. Whether one may be, since it was sent before without an answer.
    Far {
        again: bool,
    },
}

/// What the server says of the log's end.
struct Look {
    /// The position after the caller's batch, or the end.
    end: Tip,
    trimmed: u64,
    base: Option<Stored>,
    /// What was not read yet, the newest first.
    news: Vec<Value>,
}

impl RedisJournal {
    /// One exchange over `link`.
    fn exchange(&self, link: &mut Link, writer: &Writer, what: &What<'_>, whole: bool) -> Result<Answer, Error> {
        let (told, seen) = {
            let known = self.known();
            (known.told(), *known.tip())
        };
        let keys = [self.keys.tip.as_str(), &self.keys.log];
        // Attempts of which nobody knows what became of them.
        let mut unanswered = 0_u32;
        let arguments = |call: &mut Cmd, whole: bool| {
            self.push_position(call, &told);
            call.arg(seen.seq).arg(seen.bytes);
            call.arg(if matches!(what, What::Touch) { 0 } else { NEWS_BYTES_MAX });
            call.arg(&writer.id).arg(writer.counter);
            match what {
                What::Append(append) => {
                    call.arg(append.count).arg(if whole { "whole" } else { "" });
                    call.arg(append.at.map_or_else(String::new, |at| at.to_string()));
                    call.arg(append.batch).arg(append.crc.as_str())
                }
                What::Look => call.arg(0),
                What::Touch => call.arg(-1),
            };
        };
        let action = match what {
            What::Append(_) => "append to",
            What::Look => "look at",
            What::Touch => "sync",
        };
        let reply = link.run(action, |connection| {
            let whole = whole || unanswered > 0;
            let reply = call(connection, &self.scripts.log, &keys, &|call| arguments(call, whole));
            if reply.as_ref().is_err_and(|error| error.code().is_none()) {
                unanswered += 1;
            }
            let reply = reply?;
            if matches!(what, What::Touch) {
                self.wait_for_copies(connection)?;
            }
            Ok(reply)
        })?;
        let (word, parts) = self.checked(reply, &told)?;
        match word.as_str() {
            "ok" => look_of(parts).map(Answer::Seen).ok_or_else(|| self.odd_reply()),
            "moved" => Ok(Answer::Moved),
            "far" => Ok(Answer::Far { again: unanswered > 0 }),
            _ => Err(self.odd_reply()),
        }
    }

    /// Waits until what this connection wrote, and so all before it, is where the options say.
    fn wait_for_copies(&self, connection: &mut Connection) -> RedisResult<()> {
        let options = &self.target.options;
        let millis = millis(options.wait);
        // The server is silent for as long as it waits.
        connection.set_read_timeout(Some(options.wait + options.timeout))?;
        let short = |found: u32, wanted: u32, what: &str| {
            let detail = format!("only {found} of {wanted} {what} have it after {millis} ms");
            RedisError::from((ErrorKind::Client, "the record is there, and not as safe as asked for", detail))
        };
        let replicas = options.wait_replicas;
        if options.wait_aof {
            let (local, remote): (u32, u32) =
                redis::cmd("WAITAOF").arg(1).arg(replicas).arg(millis).query(connection)?;
            if local < 1 {
                return Err(short(local, 1, "append-only files"));
            }
            return if remote < replicas {
                Err(short(remote, replicas, "replicas' append-only files"))
            } else {
                Ok(())
            };
        }
        let found: u32 = redis::cmd("WAIT").arg(replicas).arg(millis).query(connection)?;
        if found < replicas { Err(short(found, replicas, "replicas")) } else { Ok(()) }
    }

    /// Appends a batch and takes note of what came back. `None` if the log does not end where it must.
    pub(crate) fn commit(&self, batch: &[u8], count: u64, at: Option<u64>) -> Result<Option<u64>, Error> {
        if count == 0 {
            return self.look().map(|()| Some(self.known().told().seq));
        }
        let mut line = lock(&self.line);
        let line = &mut *line;
        line.writer.counter += 1;
        let append = Append { batch, crc: format!("{:08x}", crc32fast::hash(batch)), count, at };
        let what = What::Append(&append);
        for attempt in 0..=LOOKS_AGAIN {
            match self.exchange(&mut line.link, &line.writer, &what, attempt > 0)? {
                Answer::Moved => return Ok(None),
                Answer::Seen(look) => {
                    let end = look.end;
                    let first = end.seq.checked_sub(count).ok_or_else(|| self.odd_reply())?;
                    let mut known = self.known();
                    self.adopt(&mut known, look);
                    if known.tip().seq == first && known.tip().after(batch, count) == end {
                        known.push(Batch { first, end: end.seq, bytes: batch.to_vec() }, end);
                    }
                    return Ok(Some(first));
                }
                // It was sent once and refused, so it is not there, and with a newer position it can be appended.
                Answer::Far { again: false } => self.look_on(&mut line.link, &line.writer)?,
                Answer::Far { again: true } => break,
            }
        }
        let source = io::Error::other(
            "whether the record is there cannot be told: an answer was lost, and the log was compacted meanwhile",
        );
        Err(Error::Io { location: self.location.clone(), action: "append to", source })
    }

    /// Takes over what came with a reply. What does not fit is left for reading to find out about.
    fn adopt(&self, known: &mut Known, look: Look) {
        known.hear(look.end);
        known.trimmed = look.trimmed;
        known.base = look.base;
        for value in look.news.into_iter().rev() {
            match Entry::from_value(value).map(|entry| entry.verify(known.tip())) {
                Some(Ok((batch, tip))) if known.leads_to(&tip) => known.push(batch, tip),
                _ => return,
            }
        }
    }

    /// Asks whether the log still holds what is known, and takes note of what comes with the answer.
    pub(crate) fn look(&self) -> Result<(), Error> {
        let mut line = lock(&self.line);
        let line = &mut *line;
        self.look_on(&mut line.link, &line.writer)
    }

    fn look_on(&self, link: &mut Link, writer: &Writer) -> Result<(), Error> {
        let Answer::Seen(look) = self.exchange(link, writer, &What::Look, false)? else {
            return Err(self.odd_reply());
        };
        self.adopt(&mut self.known(), look);
        Ok(())
    }

    /// Learns something that comes after what is known. False if there is nothing.
    pub(crate) fn fetch(&self) -> Result<bool, Error> {
        let mut line = lock(&self.line);
        let line = &mut *line;
        let mut looks = 0;
        loop {
            let seen = *self.known().tip();
            self.look_on(&mut line.link, &line.writer)?;
            let known = self.known();
            if known.tip().seq > seen.seq {
                return Ok(true);
            }
            if known.told().seq == seen.seq {
                return Ok(false);
            }
            if known.trimmed > seen.seq {
                return Err(self.folded(seen.seq, known.trimmed));
            }
            drop(known);
            let page = self.page(&mut line.link, &seen)?;
            let mut known = self.known();
            let mut misfit = None;
            for entry in page {
                match entry.verify(known.tip()) {
                    Ok((batch, tip)) if known.leads_to(&tip) => known.push(batch, tip),
                    Ok(_) => misfit = Some(Misfit::Content("the log has ended with another one")),
                    Err(found) => misfit = Some(found),
                }
                if misfit.is_some() {
                    break;
                }
            }
            if known.tip().seq > seen.seq {
                return Ok(true);
            }
            // It may have been trimmed between the two questions.
            if looks == LOOKS_AGAIN {
                return Err(self.corrupt(&seen, misfit));
            }
            looks += 1;
        }
    }

    /// Makes the first `records` records as durable as the options say, or joins a thread that does.
    pub(crate) fn sync_through(&self, records: u64) -> Result<(), Error> {
        let options = &self.target.options;
        if options.wait_replicas == 0 && !options.wait_aof {
            return Ok(());
        }
        self.syncs.run(records, || {
            let nobody = Writer { id: String::new(), counter: 0 };
            match self.exchange(&mut lock(&self.sync_link), &nobody, &What::Touch, false)? {
                Answer::Seen(look) => Ok(look.end.seq),
                Answer::Moved | Answer::Far { .. } => Err(self.odd_reply()),
            }
        })
    }
}

fn look_of(parts: Vec<Value>) -> Option<Look> {
    let mut parts = parts.into_iter();
    let end = Tip::take(&mut parts)?;
    let [trimmed, base, Value::Array(news)] = [parts.next()?, parts.next()?, parts.next()?] else { return None };
    Some(Look { end, trimmed: number_of(trimmed)?, base: text_of(base).as_deref().and_then(Stored::parse), news })
}
