//! What the programs of the dump write as JSON is what docs/dump-json.md says, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;

use super::site::{Hosts, Site};
use crate::support::workspace;

/// Noon of 1 June 2004 in Greenwich.
const FIRST: u64 = 1_086_091_200;
const DAY: u64 = 24 * 3600;

/// The document: types by field, by message.
struct Schema {
    messages: BTreeMap<String, BTreeMap<String, String>>,
    /// Fields that some line had, `MESSAGE FIELD`.
    seen: BTreeSet<String>,
}

/// The text between the first two backquotes.
fn quoted(line: &str) -> Option<&str> {
    line.split('`').nth(1)
}

impl Schema {
    fn read() -> Schema {
        let text = fs::read_to_string(workspace().join("docs/dump-json.md")).unwrap();
        let mut messages: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut message = None;
        for line in text.lines() {
            if line.starts_with('#') {
                message = line.strip_prefix("### ").and_then(quoted);
                messages.extend(message.map(|name| (name.to_owned(), BTreeMap::new())));
            }
            if let Some(fields) = message.and_then(|name| messages.get_mut(name))
                && line.starts_with("| `")
            {
                let field = quoted(line).unwrap().to_owned();
                fields.insert(field, line.split('|').nth(2).unwrap().trim().to_owned());
            }
        }
        Schema { messages, seen: BTreeSet::new() }
    }

    /// Checks lines, and returns them.
    fn check(&mut self, text: &str) -> Vec<Value> {
        text.lines().map(|line| self.check_line(line)).collect()
    }

    fn check_line(&mut self, text: &str) -> Value {
        let line: Value = serde_json::from_str(text).expect(text);
        let name = line["message_type"].as_str().expect(text).to_owned();
        if line.get("advice").is_none() {
            assert_eq!(line["schema"], venti_proto::roots::JSON_SCHEMA, "{text}");
        }
        let fields = self.messages.get(&name).unwrap_or_else(|| panic!("{name}: {text}"));
        for (field, kind) in fields {
            let (object, last) =
                field.split_once('.').map_or((&line, field.as_str()), |at| (&line[at.0], at.1));
            let value = &object[last];
            if object.is_null() || (value.is_null() && kind.ends_with('?')) {
                continue;
            }
            assert!(is_of_kind(value, kind.trim_end_matches('?')), "{field}: {kind}: {text}");
            self.seen.insert(format!("{name} {field}"));
        }
        let documented = |path: &str| {
            let is_bytes = |name: &str| fields.get(name).is_some_and(|kind| kind.contains("bytes"));
            fields.contains_key(path) || path.strip_suffix("_base64").is_some_and(is_bytes)
        };
        for path in paths(&line).iter().filter(|path| *path != "message_type" && *path != "schema")
        {
            assert!(documented(path), "{path} is not in the document: {text}");
        }
        line
    }

    /// Nothing may be in the document that no line has.
    fn assert_all_seen(&self) {
        for (name, fields) in &self.messages {
            for field in fields.keys() {
                assert!(self.seen.contains(&format!("{name} {field}")), "{name} {field}");
            }
        }
    }
}

/// The names of all fields, with the objects that they are in.
fn paths(line: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in line.as_object().unwrap() {
        paths.push(name.clone());
        // A name by itself has no more fields than that.
        if let Some(object) = value.as_object().filter(|object| !object.contains_key("path")) {
            paths.extend(object.keys().map(|field| format!("{name}.{field}")));
        }
    }
    paths
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    let text = value.as_str();
    match kind {
        "text" | "bytes" => text.is_some(),
        "number" => value.is_u64() || value.is_i64(),
        "id" => text.is_some_and(|text| text.parse::<u64>().is_ok()),
        "dump" => text.is_some_and(|text| text.len() >= 9 && text.as_bytes()[4] == b'/'),
        "time" => text.is_some_and(|text| text.contains('T') && text.ends_with('Z')),
        "flag" => value.is_boolean(),
        "object" => value.is_object(),
        "list" => value.is_array(),
        _ => panic!("the document has a type that is none: {kind}"),
    }
}

/// A name that is not UTF-8.
fn odd_name() -> &'static OsStr {
    OsStr::from_bytes(b"caf\xe9")
}

/// Files that change, have odd names and content, get other names, and go. One dump is lost.
fn make_dumps(hosts: &Hosts) {
    let odd = Path::new("home").join(odd_name());
    let lines = |word: &str| format!("{word} of a long text, one line of many\n").repeat(20_000);
    hosts.write("home/draft", "one\n");
    hosts.write(&odd, b"caf\xe9\n");
    hosts.write("home/long", lines("one"));
    hosts.dump("moby", FIRST);
    hosts.rename("home/draft", "home/notes");
    hosts.write(&odd, b"th\xe9\n");
    hosts.write("home/long", lines("two"));
    hosts.dump("moby", FIRST + DAY);
    hosts.write("home/notes", "three\n");
    hosts.dump("moby", FIRST + 2 * DAY);
    hosts.dump("moby", FIRST + 3 * DAY);
    hosts.dump_lost("ahab", FIRST + 3 * DAY);
}

/// What a program prints and says, which must end with `code`.
fn says(site: &Site, code: i32, words: &str) -> (String, String) {
    site.says(code, &words.split(' ').collect::<Vec<_>>())
}

#[test]
fn every_line_is_as_the_document_says() {
    let (site, mut schema) = (Site::new("UTC", make_dumps), Schema::read());
    let mut lines = |words: &str| schema.check(&says(&site, 0, words).0);

    let versions = lines("hist --json --host moby /home/notes /home/draft");
    let newest: Vec<_> = versions.iter().map(|line| line["newest_dump"].as_str()).collect();
    let days = ["2004/0604", "2004/0602", "2004/0601", "2004/0604", "2004/0601"];
    assert_eq!(newest, days.map(Some));
    assert_eq!(versions[1]["renamed_from"], "/home/draft");
    let id = |line: &Value| line["version"]["path_id"].as_str().unwrap().to_owned();
    assert_eq!(id(&versions[0]), id(&versions[2]), "it is the same file");

    let found = lines("fossil-lite find --json --host moby caf*");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["path_base64"], "aG9tZS9jYWbp");
    let status = lines("fossil-lite status --json --max-age 3000w --host moby");
    assert_eq!(status[0]["before"]["dump"], "2004/0603");
    assert_eq!(lines("venti roots --json").len(), 5);
    let nothing = says(&site, 1, "fossil-lite status --json --host ahab --expect ahab/etc=1d").0;
    assert_eq!(schema.check(&nothing)[1]["dump"], Value::Null);

    let lost = says(&site, 3, "fossil-lite find --json --host ahab *").1;
    assert_eq!(schema.check(&lost)[0]["dump"], "2004/0604");
    let lost = says(&site, 3, "hist --json --host ahab /home/notes");
    assert_eq!(
        (schema.check(&lost.1)[0]["dump"].as_str(), lost.0.as_str()),
        (Some("2004/0604"), "")
    );
    assert_eq!(lost.1.lines().count(), 1, "that it is in no dump is not known");
    let missing = says(&site, 1, "hist --json --host moby /home/none").1;
    assert_eq!(schema.check(&missing)[0]["path"], "/home/none");
    let failures = [
        (1, "hist --json --host pequod /home/notes"),
        (2, "hist --json --host moby -s soon /home/notes"),
        (10, "fossil-lite status --json -h /nowhere/at/all"),
        (2, "fossil-lite find --json [a"),
        (10, "venti roots --json -h /nowhere/at/all"),
    ];
    for (code, words) in failures {
        let (out, err) = says(&site, code, words);
        let said = schema.check(&err);
        assert_eq!((said.len(), out.as_str()), (1, ""), "{err}");
        assert_eq!(
            (&said[0]["message_type"], &said[0]["code"]),
            (&"exit_error".into(), &code.into())
        );
    }
    check_differences(&site, &mut schema);
    check_bisection(&site, &mut schema);
    schema.assert_all_seen();
}

/// Nothing that diff writes gets between the lines, and nothing of it is lost.
fn check_differences(site: &Site, schema: &mut Schema) {
    let odd = Path::new("/home").join(odd_name());
    let arguments = ["--json", "-d", "--host", "moby"].map(OsStr::new);
    let output = site.run("hist", &[&arguments[..], &[odd.as_os_str()]].concat());
    let lines = schema.check(&String::from_utf8(output.stdout).unwrap());
    let types: Vec<_> = lines.iter().map(|line| line["message_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["version", "diff", "version"]);
    assert_eq!(lines[0]["path_base64"], "L2hvbWUvY2Fm6Q==");
    assert!(lines[1]["text"].as_str().unwrap().ends_with("-caf\u{fffd}\n+th\u{fffd}\n"));
    assert!(lines[1]["text_base64"].is_string() && lines[1]["more"] == false);

    let plain = says(site, 0, "hist -d --host moby /home/long").0;
    let lines = schema.check(&says(site, 0, "hist --json -d --host moby /home/long").0);
    let parts: Vec<_> = lines.iter().filter(|line| line["message_type"] == "diff").collect();
    let more: Vec<_> = parts.iter().map(|part| part["more"].as_bool().unwrap()).collect();
    assert_eq!(more, [true, false]);
    let text: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert!(text.starts_with("--- ") && plain.contains(&text));
}

/// The log of a bisection is read again as it was written. (That one with files that are there
/// needs a mount: what it writes differs in the verdict.)
fn check_bisection(site: &Site, schema: &mut Schema) {
    let words = "fossil-lite bisect --host moby --good 2004/0601 --bad 2004/0604 --log log /none";
    let (_, err) = says(site, 1, &format!("{words} -- false"));
    assert!(err.contains("2004/0601 is Unknown, expected Good"), "{err}");
    let log = fs::read_to_string(site.path("log")).unwrap();
    let lines = schema.check(&log);
    assert_eq!((lines.len(), &lines[1]["verdict"]), (2, &"unknown".into()));
    says(site, 1, &format!("{words} -- false"));
    assert_eq!(fs::read_to_string(site.path("log")).unwrap(), log);
    let (_, err) = says(site, 2, &format!("{words} -- true"));
    assert!(err.contains("is about something else"), "{err}");
}
