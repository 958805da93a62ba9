//! Days, times and names of dumps, with a real server whose store has dumps of set times.

use std::fs;
use std::process::Command;

use jiff::{Timestamp, ToSpan, Zoned};

use super::site::Site;
use crate::support::can_mount;

/// Seconds since 1970.
fn seconds(time: &str) -> u64 {
    u64::try_from(time.parse::<Timestamp>().unwrap().as_second()).unwrap()
}

/// The zone of the store; that of the machine is another.
const ZONE: &str = "Europe/Berlin";

#[test]
fn yesterday_takes_times_of_a_day_and_words() {
    let today = Zoned::now().in_tz(ZONE).unwrap();
    let at = |days: i64, hour: i8| {
        let then = today.checked_sub(days.days()).unwrap();
        then.with().hour(hour).minute(0).second(0).build().unwrap()
    };
    // The content says when it was.
    let label = |then: &Zoned| then.strftime("%Y-%m-%d %H\n").to_string();
    let dumps = [at(40, 12), at(14, 12), at(2, 10), at(2, 18), at(1, 9), at(1, 21)];
    let site = Site::new(ZONE, |hosts| {
        for then in &dumps {
            hosts.write("home/rob/notes", label(then));
            hosts.dump("moby", u64::try_from(then.timestamp().as_second()).unwrap());
        }
    });
    let cat = |date: &[&str]| {
        let command = ["yesterday", "--host", "moby", "--cat", "/home/rob/notes"];
        site.says(0, &[&command[..], date].concat())
    };
    let day = |days: i64, form: &str| at(days, 0).strftime(form).to_string();
    let weekday = day(2, "%A");
    let cases = [
        (vec![], at(1, 21)),
        (vec!["-n", "1"], at(1, 21)),
        (vec!["-d", "yesterday"], at(1, 21)),
        (vec!["-d", "2 days ago"], at(2, 18)),
        (vec!["-d", &weekday], at(2, 18)),
        (vec!["-d", "2 weeks ago"], at(14, 12)),
        (vec!["-d", "a month ago"], at(40, 12)),
    ];
    for (date, expected) in &cases {
        assert_eq!(cat(date).0, label(expected), "{date:?}");
    }
    let times = [
        ("%Y-%m-%d 09:59", at(14, 12)),
        ("%Y-%m-%d 10:00", at(2, 10)),
        ("%Y-%m-%dT17:59:59", at(2, 10)),
        ("%Y-%m-%d 18:30", at(2, 18)),
        ("%Y/%m%d", at(2, 18)),
        ("%Y/%m%d.1", at(2, 18)),
    ];
    for (form, expected) in times {
        let date = day(2, form);
        assert_eq!(cat(&["-d", &date]).0, label(&expected), "{date}");
    }
    // It says which dump it took.
    let (_, said) = cat(&["-d", &day(2, "%Y-%m-%d 18:30")]);
    assert_eq!(said, format!("/home/rob/notes: as in {}.1\n", day(2, "%Y/%m%d")));
    let (_, said) = cat(&["-d", &day(2, "%Y-%m-%d 12:00")]);
    assert_eq!(said, format!("/home/rob/notes: as in {}\n", day(2, "%Y/%m%d")));
}

#[test]
fn a_dump_has_one_name_everywhere_and_another_one_in_another_zone() {
    let times = ["2004-06-11T03:00:00Z", "2004-06-11T21:59:59Z", "2004-06-11T22:00:00Z"];
    let mut site = Site::new(ZONE, |hosts| {
        for time in times {
            hosts.write("home/rob/notes", time);
            hosts.dump("moby", seconds(time));
            hosts.dump("pequod", seconds(time));
        }
    });
    // Midnight is between the last two in Berlin, and behind all in Greenwich.
    check_names(&site, &times, ["2004/0611", "2004/0611.1", "2004/0612"]);
    site.serve(&["--time-zone", "UTC"]);
    check_names(&site, &times, ["2004/0611", "2004/0611.1", "2004/0611.2"]);
    // From the directory, without a server, as well.
    let (roots, _) = site.says(0, &["venti", "roots", "-h", "store", "--host", "moby"]);
    assert!(roots.lines().next().unwrap().contains(" 2004/0611.2 10 files, "), "{roots}");
}

/// Every program has these names for the dumps of these times.
fn check_names(site: &Site, times: &[&str; 3], names: [&str; 3]) {
    let (newest, notes) = (names[2], "/home/rob/notes");
    let (roots, _) = site.says(0, &["venti", "roots"]);
    let listed: Vec<&str> = roots.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    let [first, second, third] = names;
    assert_eq!(listed, [third, third, second, second, first, first], "{roots}");
    let (last, _) = site.says(0, &["venti", "roots", "--host", "moby", "--limit", "1"]);
    assert!(last.contains(&format!(" {newest} 10 files, ")), "{last}");
    let (status, _) = site.says(0, &["fossil-lite", "status", "--max-age", "3000w"]);
    assert!(status.starts_with(&format!("moby  {newest}  ")), "{status}");
    let (hist, _) = site.says(0, &["hist", "--host", "moby", notes]);
    let found: Vec<_> = hist.lines().map(|line| line.split("/n/dump/").nth(1).unwrap()).collect();
    for (line, name) in found.iter().zip(names.iter().rev()) {
        assert!(line.starts_with(&format!("{name}{notes} ")), "{hist}");
    }
    // The day alone is the last dump of it, so the first one has no words of its own here.
    for (time, name) in times.iter().zip(names).skip(1) {
        let words = ["yesterday", "--host", "moby", "--cat", "-d", name, notes];
        assert_eq!(site.says(0, &words).0, *time, "{name}");
    }
    if !can_mount() {
        return;
    }
    let at = site.path("mount");
    fs::create_dir_all(&at).unwrap();
    let mount = at.to_str().unwrap();
    site.says(0, &["fossil-lite", "mount", mount]);
    let shown = |(time, name)| {
        let content = fs::read(at.join("moby").join(name).join(&notes[1..])).unwrap_or_default();
        content == str::as_bytes(time)
    };
    let all_shown = times.iter().copied().zip(names).all(shown);
    let words = ["yesterday", "--host", "moby", "--mount", mount, "-d", newest, notes];
    let (named, _) = site.says(0, &words);
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    assert!(all_shown, "each under its name");
    assert_eq!(named, format!("{mount}/moby/{newest}{notes}\n"));
}

#[test]
fn find_takes_a_pattern_with_a_slash_for_the_path_from_the_root() {
    let site = Site::new("UTC", |hosts| {
        for name in ["home/rob/notes", "home/anna/notes", "home/rob/deep/notes", "notes"] {
            hosts.write(name, name);
        }
        hosts.dump("moby", seconds("2004-06-11T03:00:00Z"));
        hosts.write("home/rob/notes", "changed");
        hosts.dump("moby", seconds("2004-06-12T03:00:00Z"));
    });
    let cases: [(&str, &[&str]); 8] = [
        ("/home/*/notes", &["11/home/rob/notes", "12/home/anna/notes", "12/home/rob/notes"]),
        ("home/*/notes", &["11/home/rob/notes", "12/home/anna/notes", "12/home/rob/notes"]),
        ("/home/r?b/deep/n*", &["12/home/rob/deep/notes"]),
        ("/home/[a-m]*/notes", &["12/home/anna/notes"]),
        ("/home/*", &["12/home/anna", "12/home/rob"]),
        ("/notes", &["12/notes"]),
        // Not from the root, and no star for a slash.
        ("rob/notes", &[]),
        ("/home/*notes", &[]),
    ];
    for (pattern, expected) in cases {
        let code = i32::from(expected.is_empty());
        let (out, _) = site.says(code, &["fossil-lite", "find", "--host", "moby", pattern]);
        let mut found: Vec<&str> =
            out.lines().map(|line| line.strip_prefix("2004/06").unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{pattern}");
    }
}
