//! A machine called moby, beside servers called backup and old-server, on which examples are run.
//!
//! It is a root directory in a mount namespace: the system's own programs, read-only but for an
//! overlay, and files of [`super::past`]. Its network has nobody else in it, and whatever was
//! started there ends with it. Needs root; what such a machine does not have (a volume manager,
//! a database, mail, another host) is a script.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::past::Past;
use super::session::{Happened, Step};
use crate::support::programs::program;

/// Makes the root directory and becomes a shell in it. `$1` is an empty directory, `$2` the
/// machine's own files, `$3` where our programs are, `$4` where results go, `$5` what is
/// run.
const ENTER: &str = r#"
set -e
hostname moby
ip link set lo up
mount -t tmpfs tmpfs "$1"
root=$1/root
mkdir -p "$1/upper" "$1/work" "$root"
# A root like any: chroot(1) alone would leave one that is no mount point.
mount --bind "$root" "$root"
mkdir "$root/usr"
cp -a "$2/files/usr/." "$1/upper"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$1/upper,workdir=$1/work" "$root/usr"
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L /$name ]; then cp -a /$name "$root"; elif [ -d /$name ]; then
        mkdir "$root/$name"; mount --bind /$name "$root/$name"
    fi
done
mkdir "$root/etc"
for name in passwd group nsswitch.conf protocols services ld.so.cache alternatives; do
    [ ! -e /etc/$name ] || cp -a /etc/$name "$root/etc"
done
cp -a "$2/files/home" "$root"
cp -a "$5" "$root/session"
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/run" "$root/mnt/before" "$root/n/dump" \
    "$root/srv" "$root/var/lib" "$root/opt/venti" "$root/root"
# The server's disk.
mkdir "$root/srv/venti"
mount -t tmpfs tmpfs "$root/srv/venti"
cp -a "$2/store/." "$root/srv/venti"
printf '127.0.0.1 localhost moby\n127.0.0.2 backup\n127.0.0.3 old-server\n' >"$root/etc/hosts"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$3" "$root/opt/venti"
# What is written there stays when the machine goes.
mount --bind "$4" "$root/session/results"
exec chroot "$root" /bin/sh /session/run
"#;

/// Starts what the examples take to be there, and types them.
const RUN: &str = r#"
export PATH=/session/bin:/opt/venti:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/home/rob venti=backup TZ=UTC LC_ALL=C
cd /tmp
cp /session/*.pem .
case $(cat /session/steps) in
*'venti serve'*) ;;
*) systemctl start venti ;;
esac
case $(cat /session/steps) in
*old-server*)
    venti serve /srv/old --listen old-server >/dev/null 2>&1 &
    until venti ping -h old-server >/dev/null 2>&1; do sleep 0.01; done ;;
esac
case $(cat /session/steps) in
*'venti serve'* | *'fossil-lite mount'*) ;;
*) fossil-lite mount --host moby /n/dump ;;
esac
. /session/steps
"#;

/// What this machine does not have.
const STAND_INS: [(&str, &str); 6] = [
    ("pg_dump", "echo 'create table t (n int);'"),
    ("mail", "exit 0"),
    ("lvcreate", "mkdir -p /dev/shm && exit 0"),
    ("lvremove", "exit 0"),
    ("ssh", "shift; mkdir -p /tmp/host; cd /tmp/host; exec \"$@\""),
    (
        "systemctl",
        "case $1 in\n\
         start) venti serve /srv/venti --listen backup >/dev/null 2>&1 & echo $! >/run/venti.pid\n\
         until venti ping -h backup >/dev/null 2>&1; do sleep 0.01; done ;;\n\
         stop) kill $(cat /run/venti.pid); \
         while venti ping -h backup >/dev/null 2>&1; do sleep 0.01; done; sleep 0.2 ;;\n\
         esac",
    ),
];

/// A volume is what it is a volume of.
const MOUNT: &str = "#!/bin/sh\ncase $* in\n'-o ro /dev/vg/before'*) \
    exec /bin/mount --bind /home /mnt/before ;;\nesac\nexec /bin/mount \"$@\"\n";

pub(super) struct Sandbox {
    directory: TempDir,
}

impl Sandbox {
    /// Whether such a machine can be made here.
    pub(super) fn is_possible() -> bool {
        let script = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && \
            mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/a,workdir=/mnt/b /mnt/c && \
            ip link set lo up && hostname moby && test -e /dev/fuse";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--uts", "--net", "sh", "-c", script]);
        let made = unshare.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let possible = made.is_ok_and(|status| status.success());
        if !possible {
            eprintln!("skipped: needs root, namespaces, an overlay, ip(8), hostname(1), /dev/fuse");
        }
        possible
    }

    pub(super) fn new() -> Sandbox {
        let directory = TempDir::new().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in ["session/bin", "session/results", "results", "root"] {
            fs::create_dir_all(at(name)).expect("a directory");
        }
        let write = |name: &str, text: &str| {
            fs::write(at("session").join(name), text).expect("written");
        };
        write("run", RUN);
        let script = |name: &str, text: &str| {
            write(&format!("bin/{name}"), text);
            let mode = fs::Permissions::from_mode(0o755);
            let path = at("session/bin").join(name);
            fs::set_permissions(path, mode).expect("a mode");
        };
        for (name, text) in STAND_INS {
            script(name, &format!("#!/bin/sh\n{text}\n"));
        }
        script("mount", MOUNT);
        let key = rcgen::generate_simple_self_signed(["backup".to_owned()]).expect("a certificate");
        write("cert.pem", &key.cert.pem());
        write("key.pem", &key.signing_key.serialize_pem());
        Sandbox { directory }
    }

    /// Types the commands into one shell, and says what each did.
    pub(super) fn type_in(&self, past: &Past, steps: &[Step]) -> Vec<Happened> {
        let at = |name: &str| self.directory.path().join(name);
        let results = at("results");
        let mut script = String::new();
        for (at, step) in steps.iter().enumerate() {
            script += &format!(
                "{{\n{}\n}} </dev/null >/session/results/{at} 2>&1\n\
                 echo $? >/session/results/{at}.status\n",
                step.command
            );
        }
        fs::write(at("session/steps"), script).expect("written");
        let output = Command::new("unshare")
            .args(["--mount", "--uts", "--net", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(at("root"))
            .arg(past.path())
            .arg(program("venti").parent().unwrap_or(Path::new("/")))
            .arg(&results)
            .arg(at("session"))
            .stdin(Stdio::null())
            .output()
            .expect("unshare(1) runs");
        let happened = (0..steps.len()).map_while(|at| {
            let status = fs::read_to_string(results.join(format!("{at}.status"))).ok()?;
            let printed = fs::read(results.join(at.to_string())).ok()?;
            Some((String::from_utf8_lossy(&printed).into_owned(), status.trim().parse().ok()?))
        });
        let happened: Vec<Happened> = happened.collect();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!happened.is_empty(), "the machine could not be made: {said}");
        happened
    }
}
