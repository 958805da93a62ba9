//! Conversations of 9P2000 as text, replayed through a session.
//!
//! `->` is what the client says, `<-` what must come back, in this order. Requests are worked on
//! at once, but between `! hold` and `! release` they wait: `! release` finishes those that were
//! held, oldest first. `!` with anything else says what must be true.

use std::path::PathBuf;

use fossil_lite::p9::{Session, Step, Tagged, Work, WorkId, perform};

use crate::little_tree::{LittleTree, Node};

struct Driver {
    session: Session<Node>,
    /// `Some` while work is held back.
    held: Option<Vec<(WorkId, Work<Node>)>>,
    replies: Vec<String>,
}

impl Driver {
    fn say(&mut self, line: &str) {
        let request: Tagged = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        // Through the bytes, as it would come.
        match self.session.receive_body(&request.encode()[4..]) {
            None => self.replies.push("nothing".to_owned()),
            Some(Step::Reply(reply)) => self.replies.push(reply.to_string()),
            Some(Step::Work(id, work)) => match &mut self.held {
                Some(held) => held.push((id, work)),
                None => self.work(id, work),
            },
        }
    }

    fn work(&mut self, id: WorkId, work: Work<Node>) {
        let result = perform(&LittleTree, work);
        let reply = self.session.finish(id, result);
        self.replies.extend(reply.map(|reply| reply.to_string()));
    }

    fn command(&mut self, command: &str) -> Result<(), String> {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("hold", "") => self.held = Some(Vec::new()),
            ("release", "") => {
                for (id, work) in self.held.take().unwrap_or_default() {
                    self.work(id, work);
                }
            }
            ("fids", expected) => {
                let found = self.session.fids().to_string();
                if found != expected {
                    return Err(format!("{found} fids are in use"));
                }
            }
            _ => return Err("no such command".to_owned()),
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (mark, rest) = line.split_once(' ').ok_or("a mark and something behind it")?;
        match mark {
            "<-" if self.replies.is_empty() => Err("no reply came".to_owned()),
            "<-" => {
                let found = self.replies.remove(0);
                if found == rest.trim() { Ok(()) } else { Err(format!("got {found}")) }
            }
            _ if !self.replies.is_empty() => Err(format!("before this came {:?}", self.replies)),
            "->" => {
                self.say(rest);
                Ok(())
            }
            "!" => self.command(rest.trim()),
            _ => Err("expected ->, <- or !".to_owned()),
        }
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn replay(name: &str) {
    let text = std::fs::read_to_string(directory().join(name)).unwrap();
    let mut driver = Driver { session: Session::new(8216), held: None, replies: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        if let Err(error) = driver.line(line.trim()) {
            panic!("{name}:{}: {line}\n    {error}", number + 1);
        }
    }
    assert_eq!(driver.replies, [""; 0], "{name}: replies that nobody expected");
}

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(concat!(stringify!($name), ".txt")); })*

        #[test]
        fn every_transcript_is_replayed() {
            let mut found: Vec<_> = std::fs::read_dir(directory())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, [$(concat!(stringify!($name), ".txt")),*]);
        }
    };
}

transcripts! { basic directories errors fids flush read_only version }
