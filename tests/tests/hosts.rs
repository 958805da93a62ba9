//! Who may record under the name of which host, and TLS, with the real programs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::support::can_mount;
use super::support::programs::program;

/// How often something is tried, 10 ms apart: half a minute, for a loaded machine.
const TRIES: usize = 3000;

/// An authority, what it signed, a store, and a tree to archive.
struct Site {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A running server, killed when dropped.
struct Server {
    child: Child,
    port: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, directory.path().display().to_string());
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        std::fs::create_dir(directory.path().join("tree")).unwrap();
        std::fs::write(directory.path().join("tree/file"), "as it was").unwrap();
        Site { directory, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate for `name`, valid until the year `last`: NAME.pem and NAME.key.
    fn sign(&self, name: &str, last: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Serves the store under TLS as localhost.
    fn serve(&self, extra: &[&str]) -> Server {
        self.serve_on("0", extra)
    }

    /// Serves it on this port.
    fn serve_on(&self, port: &str, extra: &[&str]) -> Server {
        let mut command = Command::new(program("venti"));
        command.arg("serve").arg(self.path("store"));
        command.arg("--listen").arg(format!("tls:127.0.0.1:{port}"));
        command.arg("--tls-cert").arg(self.path("localhost.pem"));
        command.arg("--tls-key").arg(self.path("localhost.key")).args(extra);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().strip_prefix("listening on tls:127.0.0.1:").expect(&line);
        Server { port: port.to_owned(), child }
    }

    /// A program that trusts the authority, as the client `own`.
    fn run(&self, name: &str, own: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program(name));
        command.current_dir(self.directory.path()).args(arguments);
        command.env("XDG_CACHE_HOME", self.path("cache")).env("VENTI_CA", self.path("ca.pem"));
        command.env_remove("venti").env_remove("VENTI_CERT").env_remove("VENTI_KEY");
        if let Some(own) = own {
            command.env("VENTI_CERT", self.path(&format!("{own}.pem")));
            command.env("VENTI_KEY", self.path(&format!("{own}.key")));
        }
        command.output().unwrap()
    }
}

impl Server {
    fn address(&self) -> String {
        format!("tls:localhost:{}", self.port)
    }
}

/// What a program printed, which must have ended with `code`, and what it said.
fn ended(code: i32, output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    (out, errors)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_host_records_under_the_name_of_its_certificate_and_every_program_reads_under_tls() {
    let site = Site::new();
    site.sign("localhost", 2100);
    site.sign("www", 2100);
    let authority = site.path("ca.pem");
    let server = site.serve(&["--tls-client-ca", text(&authority)]);
    let at = server.address();
    let run = |name: &str, arguments: &[&str]| site.run(name, Some("www"), arguments);

    let (score, _) = ended(0, &run("vac", &["-h", &at, "--host", "www", "tree"]));
    let (other, errors) = ended(12, &run("vac", &["-h", &at, "--host", "db", "tree"]));
    assert_eq!(other, score, "the score is printed, and so nothing is lost");
    let said = format!(
        "the archive {} is stored but not recorded as db: not allowed: host db: \
         the client's certificate is of www",
        score.trim_end()
    );
    assert!(errors.contains(&said), "{errors}");

    let (roots, _) = ended(0, &run("venti", &["roots", "-h", &at]));
    assert!(roots.contains(" www ") && roots.lines().count() == 1, "{roots}");
    ended(0, &run("venti", &["ping", "-h", &at]));
    let (listed, _) = ended(0, &run("unvac", &["-h", &at, "-t", score.trim_end()]));
    assert!(listed.contains("tree/file"), "{listed}");
    let file = site.path("tree/file");
    let (content, _) =
        ended(0, &run("yesterday", &["-h", &at, "--host", "www", "-n", "0", "--cat", text(&file)]));
    assert_eq!(content, "as it was");
}

#[test]
fn certificates_that_are_wrong_end_with_the_code_that_says_so() {
    let site = Site::new();
    site.sign("localhost", 2100);
    site.sign("expired", 2001);
    let (authority, stranger) = (site.path("ca.pem"), Site::new());
    stranger.sign("www", 2100);
    std::fs::copy(stranger.path("www.pem"), site.path("stranger.pem")).unwrap();
    std::fs::copy(stranger.path("www.key"), site.path("stranger.key")).unwrap();
    let server = site.serve(&["--tls-client-ca", text(&authority)]);
    let none = format!("vac:{}", "0".repeat(40));
    let programs: [&[&str]; 9] = [
        &["vac", "-h", "AT", "tree"],
        &["unvac", "-h", "AT", &none],
        &["venti", "roots", "-h", "AT"],
        &["hist", "-h", "AT", "--host", "www", "/file"],
        &["yesterday", "-h", "AT", "--host", "www", "--cat", "/file"],
        &["fossil-lite", "status", "-h", "AT"],
        &["fossil-lite", "serve", "-h", "AT", "--background", "--listen", "9p"],
        &["vacfs", "-h", "AT", "-s", "9p", &none],
        &["vacfs", "-h", "AT", "--foreground", "-s", "9p", &none],
    ];
    let all = |own, at: &str, code, says: &str| {
        for words in programs {
            let arguments: Vec<&str> =
                words[1..].iter().map(|word| if *word == "AT" { at } else { word }).collect();
            let (out, errors) = ended(code, &site.run(words[0], own, &arguments));
            assert!(errors.contains(says), "{words:?}: {errors}");
            assert_eq!(out, "", "{words:?}");
        }
    };
    let at = server.address();
    all(None, &at, 12, "the server does not accept a client without a certificate");
    all(Some("stranger"), &at, 12, "the server does not accept the client's certificate");
    all(Some("expired"), &at, 12, "the server does not accept the client's certificate");
    all(Some("missing"), &at, 2, "VENTI_CERT: ");
    let other_name = format!("tls:127.0.0.1:{}", server.port);
    all(None, &other_name, 10, "the server has another name");
    let plain = format!("localhost:{}", server.port);
    all(None, &plain, 10, "is not a Venti server that can be talked to");
    std::fs::copy(stranger.path("ca.pem"), &authority).unwrap();
    all(None, &at, 10, "signed by nobody who is trusted here");
}

/// Takes the mount away, whatever became of the test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_mount_finds_certificates_again_that_were_named_from_where_it_was_started() {
    if !can_mount() {
        return;
    }
    let site = Site::new();
    site.sign("localhost", 2100);
    site.sign("www", 2100);
    let authority = site.path("ca.pem");
    let extra = ["--tls-client-ca", text(&authority)];
    let server = site.serve(&extra);
    let (at, port) = (server.address(), server.port.clone());
    ended(0, &site.run("vac", Some("www"), &["-h", &at, "--host", "www", "tree"]));
    let mounted = Mounted(site.path("mount"));
    std::fs::create_dir(&mounted.0).unwrap();
    let mut mount = Command::new(program("fossil-lite"));
    mount.args(["mount", "-h", &at, "--host", "www", "mount"]).current_dir(site.directory.path());
    let names = [("VENTI_CA", "ca.pem"), ("VENTI_CERT", "./www.pem"), ("VENTI_KEY", "www.key")];
    ended(0, &mount.envs(names).output().unwrap());
    drop(server);
    let _server = site.serve_on(&port, &extra);
    // It connects again, from where it is now.
    let read = || std::fs::read(mounted.0.join("latest/tree/file"));
    let found = (0..TRIES).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        read().ok()
    });
    assert_eq!(found.as_deref(), Some(&b"as it was"[..]), "{:?}", read());
}

#[test]
fn a_list_of_hosts_binds_names_on_plain_connections() {
    let site = Site::new();
    site.sign("localhost", 2001);
    let (list, socket) = (site.path("hosts"), site.path("socket"));
    std::fs::write(&list, "nas unix # this machine\nwww 192.0.2.17\n").unwrap();
    let listen = format!("unix:{}", text(&socket));
    let server = site.serve(&["--listen", &listen, "--hosts", text(&list)]);
    let vac = |host: &str| site.run("vac", None, &["-h", &listen, "--host", host, "tree"]);
    let (score, _) = ended(0, &vac("nas"));
    let (other, errors) = ended(12, &vac("www"));
    assert_eq!(other, score);
    assert!(errors.contains("the server's list of hosts does not have it on this socket"));
    let (_, errors) = ended(10, &site.run("vac", None, &["-h", &server.address(), "tree"]));
    assert!(errors.contains("the server's certificate is out of date"), "{errors}");
    drop(server);

    std::fs::write(&list, "www here\n").unwrap();
    let arguments = ["serve", "store", "--listen", &listen, "--hosts", text(&list)];
    let (_, errors) = ended(1, &site.run("venti", None, &arguments));
    assert!(errors.contains(":1: \"here\" is neither an address"), "{errors}");
    let arguments = ["serve", "store", "--listen", "tls:localhost"];
    let (_, errors) = ended(2, &site.run("venti", None, &arguments));
    assert!(errors.contains("TLS wants --tls-cert and --tls-key"), "{errors}");
}
