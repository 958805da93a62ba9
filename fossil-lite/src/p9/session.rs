//! One conversation of 9P2000, without input or output.
//!
//! A message goes into [`Session::receive`]. Some are answered at once; the others become
//! [`Work`] under a [`WorkId`], and [`Session::finish`] makes the reply of its result. A request
//! that was flushed meanwhile is forgotten: its result changes nothing and is not sent, so that
//! Rflush need not wait for it and its tag is free at once.
//!
//! Invariants: a fid is in `fids` or not, and `reserved` are those which a pending attach or walk
//! will make; a tag is in `pending` exactly while its work is running and was not flushed.

use std::collections::{HashMap, HashSet};

use super::{Done, IO_HEADER_SIZE, Message, NO_FID, NO_TAG, Opened, Tagged, VERSION, Work};
use crate::FileError;

/// The least `msize` that is agreed to: any single name or error fits.
pub const MIN_MSIZE: u32 = 512;

/// The fids of a session at once. The kernel's client holds one for every cached name.
const MAX_FIDS: usize = 1 << 17;

/// Names a piece of work, never twice in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(u64);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<N> {
    /// Send this.
    Reply(Tagged),
    /// Do this, and call [`Session::finish`].
    Work(WorkId, Work<N>),
}

/// A client's handle on a file.
#[derive(Clone, Debug)]
struct Fid<N> {
    node: N,
    open: Open,
    /// Never twice in a session: a result for a fid that was clunked and made again meanwhile
    /// must not open the new one, whose permissions nobody has checked.
    serial: u64,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    No,
    /// A Topen is on its way.
    Opening,
    File,
    /// `offset` is what the client has been given, `position` the file system's name for it.
    Directory {
        offset: u64,
        position: u64,
    },
}

/// What a pending request does when it is done.
#[derive(Clone, Debug)]
enum Then {
    MakeFid(u32),
    /// Makes `newfid` if all `names` were walked. If that is the fid itself, `serial` is its own.
    Walk {
        newfid: u32,
        serial: Option<u64>,
        names: usize,
    },
    Open {
        fid: u32,
        serial: u64,
    },
    Reply,
    Advance {
        fid: u32,
        serial: u64,
        offset: u64,
    },
}

/// A conversation; `N` is what the file system calls a file.
#[derive(Debug)]
pub struct Session<N> {
    /// Agreed on by Tversion; `None` before.
    msize: Option<u32>,
    max_msize: u32,
    fids: HashMap<u32, Fid<N>>,
    reserved: HashSet<u32>,
    pending: HashMap<u16, WorkId>,
    running: HashMap<WorkId, (u16, Then)>,
    /// The next work or serial.
    next: u64,
}

impl<N: Clone> Session<N> {
    /// A conversation that has not begun, with frames of at most `max_msize` bytes.
    #[must_use]
    pub fn new(max_msize: u32) -> Session<N> {
        Session {
            msize: None,
            max_msize: max_msize.max(MIN_MSIZE),
            fids: HashMap::new(),
            reserved: HashSet::new(),
            pending: HashMap::new(),
            running: HashMap::new(),
            next: 0,
        }
    }

    /// The longest frame that may come now.
    #[must_use]
    pub fn frame_limit(&self) -> u32 {
        self.msize.unwrap_or(self.max_msize)
    }

    /// Fids that are in use.
    #[must_use]
    pub fn fids(&self) -> usize {
        self.fids.len()
    }

    /// Takes what follows the size of a frame. A body that is no message gets an error if it
    /// has a tag, and the conversation goes on: the frames are still told apart.
    pub fn receive_body(&mut self, body: &[u8]) -> Option<Step<N>> {
        match Tagged::decode(body) {
            Ok(tagged) => Some(self.receive(tagged)),
            Err(error) => Tagged::tag_of(body).map(|tag| reply_error(tag, &error.to_string())),
        }
    }

    /// Takes a request.
    pub fn receive(&mut self, Tagged { tag, message }: Tagged) -> Step<N> {
        let step = match message {
            Message::Tversion { msize, version } => return self.version(tag, msize, &version),
            _ if self.msize.is_none() => Err("the version was not negotiated".to_owned()),
            _ if tag == NO_TAG => Err("the tag is NOTAG".to_owned()),
            _ if self.pending.contains_key(&tag) => Err("the tag is in use".to_owned()),
            Message::Tflush { oldtag } => {
                self.flush(oldtag);
                Ok(reply(tag, Message::Rflush {}))
            }
            Message::Tauth { .. } => Err("authentication is not required".to_owned()),
            Message::Tattach { fid, afid, uname, aname } => {
                self.attach(tag, fid, afid, uname, aname)
            }
            Message::Twalk { fid, newfid, wname } => self.walk(tag, fid, newfid, wname),
            Message::Topen { fid, mode } => self.open(tag, fid, mode),
            Message::Tread { fid, offset, count } => self.read(tag, fid, offset, count),
            Message::Tstat { fid } => {
                self.node(fid).map(|node| self.start(tag, Then::Reply, Work::Stat { node }))
            }
            Message::Tclunk { fid } => self.clunk(fid).map(|()| reply(tag, Message::Rclunk {})),
            Message::Tremove { fid } => self.clunk(fid).and_then(|()| read_only()),
            Message::Tcreate { fid, .. } | Message::Twrite { fid, .. } => {
                self.node(fid).and_then(|_| read_only())
            }
            Message::Twstat { fid, stat } => self.node(fid).and_then(|_| {
                if stat.changes_nothing() {
                    Ok(reply(tag, Message::Rwstat {}))
                } else {
                    read_only()
                }
            }),
            other => Err(format!("message type {} is no request", other.number())),
        };
        step.unwrap_or_else(|error| reply_error(tag, &error))
    }

    /// Takes the result of work, and makes the reply, unless the request was flushed.
    pub fn finish(&mut self, work: WorkId, result: Result<Done<N>, FileError>) -> Option<Tagged> {
        let (tag, then) = self.running.remove(&work)?;
        self.pending.remove(&tag);
        self.release(&then);
        let message = match result {
            Ok(done) => self.conclude(then, done),
            Err(error) => Message::Rerror { ename: error.to_string() },
        };
        Some(Tagged { tag, message })
    }

    fn start(&mut self, tag: u16, then: Then, work: Work<N>) -> Step<N> {
        let id = WorkId(self.take_serial());
        self.pending.insert(tag, id);
        self.running.insert(id, (tag, then));
        Step::Work(id, work)
    }

    fn take_serial(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Undoes what a request had claimed while it was pending.
    fn release(&mut self, then: &Then) {
        match then {
            Then::MakeFid(fid) | Then::Walk { newfid: fid, serial: None, .. } => {
                self.reserved.remove(fid);
            }
            Then::Open { fid, serial } => {
                if let Some(fid) = self.same_fid(*fid, *serial) {
                    fid.open = Open::No;
                }
            }
            Then::Walk { .. } | Then::Reply | Then::Advance { .. } => {}
        }
    }

    fn flush(&mut self, oldtag: u16) {
        let work = self.pending.remove(&oldtag);
        if let Some((_, then)) = work.and_then(|work| self.running.remove(&work)) {
            self.release(&then);
        }
    }

    /// Begins the conversation, or begins it anew: everything before is forgotten.
    fn version(&mut self, tag: u16, msize: u32, version: &str) -> Step<N> {
        self.fids.clear();
        self.reserved.clear();
        self.pending.clear();
        self.running.clear();
        self.msize = None;
        if msize < MIN_MSIZE {
            return reply_error(tag, &format!("msize is {msize}, at least {MIN_MSIZE} is needed"));
        }
        let msize = msize.min(self.max_msize);
        // "9P2000.u" is understood as 9P2000 with something that we leave out (version(9p)).
        let known = version == VERSION
            || version.strip_prefix(VERSION).is_some_and(|rest| rest.starts_with('.'));
        if known {
            self.msize = Some(msize);
        }
        let version = if known { VERSION } else { "unknown" }.to_owned();
        reply(tag, Message::Rversion { msize, version })
    }

    fn attach(
        &mut self,
        tag: u16,
        fid: u32,
        afid: u32,
        user: String,
        tree: String,
    ) -> Result<Step<N>, String> {
        if afid != NO_FID {
            return Err("authentication is not required".to_owned());
        }
        self.reserve(fid)?;
        Ok(self.start(tag, Then::MakeFid(fid), Work::Attach { user, tree }))
    }

    fn walk(
        &mut self,
        tag: u16,
        fid: u32,
        newfid: u32,
        names: Vec<String>,
    ) -> Result<Step<N>, String> {
        let Fid { node, open, serial } = self.fid(fid)?;
        if !matches!(open, Open::No) {
            return Err("an open fid can not be walked".to_owned());
        }
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(FileError::Name { name: name.clone() }.to_string());
        }
        let serial = (newfid == fid).then_some(serial);
        if serial.is_none() {
            self.reserve(newfid)?;
        }
        let then = Then::Walk { newfid, serial, names: names.len() };
        Ok(self.start(tag, then, Work::Walk { from: node, names }))
    }

    fn open(&mut self, tag: u16, fid: u32, mode: u8) -> Result<Step<N>, String> {
        const EXECUTE: u8 = 3;
        let Fid { node, open, serial } = self.fid(fid)?;
        if !matches!(open, Open::No) {
            return Err("the fid is open".to_owned());
        }
        if mode != 0 && mode != EXECUTE {
            return read_only();
        }
        if let Some(fid) = self.fids.get_mut(&fid) {
            fid.open = Open::Opening;
        }
        let then = Then::Open { fid, serial };
        Ok(self.start(tag, then, Work::Open { node, execute: mode == EXECUTE }))
    }

    fn read(&mut self, tag: u16, fid: u32, offset: u64, count: u32) -> Result<Step<N>, String> {
        let Fid { node, open, serial } = self.fid(fid)?;
        let count = count.min(self.frame_limit() - IO_HEADER_SIZE);
        match open {
            Open::No | Open::Opening => Err("the fid is not open".to_owned()),
            Open::File => Ok(self.start(tag, Then::Reply, Work::Read { node, offset, count })),
            Open::Directory { offset: expected, position } => {
                let position = match offset {
                    0 => 0,
                    _ if offset == expected => position,
                    _ => {
                        return Err(format!(
                            "a directory can be read at 0 and {expected}, not {offset}"
                        ));
                    }
                };
                let then = Then::Advance { fid, serial, offset };
                Ok(self.start(tag, then, Work::List { node, position, count }))
            }
        }
    }

    fn clunk(&mut self, fid: u32) -> Result<(), String> {
        self.fids.remove(&fid).map(drop).ok_or_else(|| unknown_fid(fid))
    }

    fn fid(&self, fid: u32) -> Result<Fid<N>, String> {
        self.fids.get(&fid).cloned().ok_or_else(|| unknown_fid(fid))
    }

    fn node(&self, fid: u32) -> Result<N, String> {
        self.fid(fid).map(|fid| fid.node)
    }

    /// The fid, if it is still the one that a request was about.
    fn same_fid(&mut self, fid: u32, serial: u64) -> Option<&mut Fid<N>> {
        self.fids.get_mut(&fid).filter(|fid| fid.serial == serial)
    }

    fn insert(&mut self, fid: u32, node: N) {
        let serial = self.take_serial();
        self.fids.insert(fid, Fid { node, open: Open::No, serial });
    }

    /// Keeps a new fid for a request that is under way.
    fn reserve(&mut self, fid: u32) -> Result<(), String> {
        if fid == NO_FID {
            return Err("the fid is NOFID".to_owned());
        }
        if self.fids.len() + self.reserved.len() >= MAX_FIDS {
            return Err(format!("more than {MAX_FIDS} fids"));
        }
        if self.fids.contains_key(&fid) || !self.reserved.insert(fid) {
            return Err(format!("fid {fid} is in use"));
        }
        Ok(())
    }

    fn conclude(&mut self, then: Then, done: Done<N>) -> Message {
        match (then, done) {
            (Then::MakeFid(fid), Done::Attached(node, qid)) => {
                self.insert(fid, node);
                Message::Rattach { qid }
            }
            (Then::Walk { newfid, serial, names }, Done::Walked(node, wqid)) => {
                // A fid that walks itself may be gone by now, or open: then it stays as it is.
                let makes = serial.is_none_or(|serial| {
                    self.same_fid(newfid, serial).is_some_and(|fid| matches!(fid.open, Open::No))
                });
                if wqid.len() == names && makes {
                    self.insert(newfid, node);
                }
                Message::Rwalk { wqid }
            }
            (Then::Open { fid, serial }, Done::Opened(opened)) => self.opened(fid, serial, opened),
            (Then::Reply, Done::Read(data)) => Message::Rread { data },
            (Then::Reply, Done::Stat(stat)) => Message::Rstat { stat },
            (Then::Advance { fid, serial, offset }, Done::Listed(data, position)) => {
                let offset = offset.saturating_add(data.len() as u64);
                if let Some(fid) = self.same_fid(fid, serial) {
                    fid.open = Open::Directory { offset, position };
                }
                Message::Rread { data }
            }
            _ => Message::Rerror { ename: "the file system answered something else".to_owned() },
        }
    }

    fn opened(&mut self, fid: u32, serial: u64, Opened { qid, iounit }: Opened) -> Message {
        if let Some(fid) = self.same_fid(fid, serial) {
            fid.open = if qid.is_directory() {
                Open::Directory { offset: 0, position: 0 }
            } else {
                Open::File
            };
        }
        let iounit = iounit.min(self.frame_limit() - IO_HEADER_SIZE);
        Message::Ropen { qid, iounit }
    }
}

/// Whether a walk may use it. `..` goes up; `.` is for the client to resolve (walk(9p)).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && !name.contains(['/', '\0'])
}

fn reply<N>(tag: u16, message: Message) -> Step<N> {
    Step::Reply(Tagged { tag, message })
}

fn reply_error<N>(tag: u16, text: &str) -> Step<N> {
    reply(tag, Message::Rerror { ename: text.to_owned() })
}

fn unknown_fid(fid: u32) -> String {
    format!("unknown fid {fid}")
}

fn read_only<T>() -> Result<T, String> {
    Err(FileError::ReadOnly.to_string())
}
