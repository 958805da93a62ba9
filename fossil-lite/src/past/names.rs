//! The names of files in the mounted dump.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use venti_proto::roots::HostName;

use crate::dump::{Dump, LATEST};
use crate::fuse::host_of_source;

/// A mount asks for new dumps once a second; this is how long one is waited for.
const APPEARS_WITHIN: Duration = Duration::from_secs(3);

/// Where the dumps of a host are.
#[derive(Clone, Debug)]
pub struct DumpNames {
    top: PathBuf,
}

impl DumpNames {
    /// Where they are in the dump that is mounted there: below the name of the host, unless the
    /// mount has this host only.
    #[must_use]
    pub fn new(mount: &Path, host: &HostName) -> DumpNames {
        let below = mount.join(host.as_str());
        let is_of_another = || mounted_host(mount).is_some_and(|rooted| rooted != *host);
        let top = if below.is_dir() || is_of_another() { below } else { mount.to_owned() };
        DumpNames { top }
    }

    /// The name of what has this path in a dump, with a slash at its front.
    #[must_use]
    pub fn name(&self, dump: &Dump, place: &[u8]) -> Vec<u8> {
        [self.of_dump(dump).as_os_str().as_bytes(), place].concat()
    }

    /// The name of a dump.
    #[must_use]
    pub fn of_dump(&self, dump: &Dump) -> PathBuf {
        self.top.join(dump.name.to_string())
    }

    /// Whether a dump is there. One that was recorded just now is waited for.
    #[must_use]
    pub fn has(&self, dump: &Dump) -> bool {
        const STEP: Duration = Duration::from_millis(100);
        let is_there = || std::fs::symlink_metadata(self.of_dump(dump)).is_ok();
        let latest = self.top.join(LATEST);
        let is_mounted = std::fs::symlink_metadata(latest).is_ok();
        let mut waited = Duration::ZERO;
        while is_mounted && !is_there() && waited < APPEARS_WITHIN {
            std::thread::sleep(STEP);
            waited += STEP;
        }
        is_there()
    }
}

/// The host that alone is shown by what is mounted there, as the kernel's table of mounts has it.
fn mounted_host(mount: &Path) -> Option<HostName> {
    let mount = std::fs::canonicalize(mount).ok()?;
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let source = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let at = unescape(fields.nth(4)?);
        let mut behind = fields.skip_while(|field| *field != b"-");
        let source = unescape(behind.nth(2)?);
        (at == mount.as_os_str().as_bytes()).then_some(source)
    };
    // What was mounted last is seen.
    let source = table.rsplit(|byte| *byte == b'\n').find_map(source)?;
    host_of_source(&source)
}

/// Names in the table have blanks and the like as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if *byte == b'\\' => {
                name.push(escaped);
                rest = &behind[3..];
            }
            _ => {
                name.push(*byte);
                rest = behind;
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_table_of_mounts() {
        assert_eq!(unescape(br"/a\040b\134"), b"/a b\\");
        assert_eq!(unescape(br"/plain"), b"/plain");
        assert_eq!(unescape(br"\9"), br"\9");
    }
}
