use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::local::{HEADER, Header};
use super::*;

fn config(name: &str, max_bytes: u64, max_files: u32) -> LogConfig {
    let dir = std::env::temp_dir().join(format!("tare-log-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let driver = LogDriver::JsonFile;
    LogConfig { driver, path: dir.join("log"), max_bytes, max_files, attributes: BTreeMap::new() }
}

fn entries(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let parse = |line: &str| {
        let line: json::Line = serde_json::from_str(line).unwrap();
        (line.stream, line.log)
    };
    text.lines().map(parse).collect()
}

#[test]
fn lines_are_whole_whatever_the_reads_were() {
    let config = config("lines", 1 << 20, 3);
    let mut log = Log::open(config.clone()).unwrap();
    log.write(Stream::Stdout, b"on").unwrap();
    log.write(Stream::Stderr, b"err\"\x01\xff\n").unwrap();
    log.write(Stream::Stdout, b"e\ntwo").unwrap();
    log.finish().unwrap();
    let expected = [("stderr", "err\"\u{1}\u{fffd}\n"), ("stdout", "one\n"), ("stdout", "two")];
    assert_eq!(entries(&config.path), expected.map(|(s, l)| (s.to_owned(), l.to_owned())));
}

#[test]
fn long_lines_are_cut() {
    let config = config("long", 1 << 20, 3);
    let mut log = Log::open(config.clone()).unwrap();
    log.write(Stream::Stdout, &[&vec![b'x'; 2 * MAX_LINE + 5][..], b"\n"].concat()).unwrap();
    let lengths: Vec<usize> = entries(&config.path).iter().map(|(_, line)| line.len()).collect();
    assert_eq!(lengths, [MAX_LINE, MAX_LINE, 6]);
}

#[test]
fn rotation_keeps_the_newest_files() {
    let config = config("rotate", 300, 3);
    let mut log = Log::open(config.clone()).unwrap();
    for number in 0..20 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes()).unwrap();
    }
    let last = entries(&config.path).pop().unwrap().1;
    assert_eq!(last, "line 19\n");
    assert!(rotated(&config.path, 1).exists() && rotated(&config.path, 2).exists());
    assert!(!rotated(&config.path, 3).exists());
}

#[test]
fn no_file_grows_beyond_its_limit_however_much_comes_at_once() {
    for driver in [LogDriver::JsonFile, LogDriver::Local] {
        let config = LogConfig { driver, ..config("limit", 5000, 100) };
        let mut log = Log::open(config.clone()).unwrap();
        let lines: String = (0..2000).map(|number| format!("line {number}\n")).collect();
        log.write(Stream::Stdout, lines.as_bytes()).unwrap();
        let sizes = (0..100).map(|number| match number {
            0 => config.path.clone(),
            number => rotated(&config.path, number),
        });
        let sizes: Vec<u64> = sizes.filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).collect();
        assert!(sizes.len() > 5 && sizes.iter().all(|&size| size <= 5000), "{sizes:?}");
        assert!(sizes[1..].iter().all(|&size| size > 4900), "{sizes:?}");
    }
}

#[test]
fn the_compact_form_keeps_every_byte() {
    let config = LogConfig { driver: LogDriver::Local, ..config("local", 1 << 20, 2) };
    let mut log = Log::open(config.clone()).unwrap();
    log.write(Stream::Stderr, b"a\xff\0b\nrest").unwrap();
    log.finish().unwrap();
    let bytes = fs::read(&config.path).unwrap();
    let first = Header::read(bytes.first_chunk().unwrap()).unwrap();
    assert_eq!((first.stream, first.len), (Stream::Stderr, 5));
    assert_eq!(&bytes[HEADER..HEADER + 5], b"a\xff\0b\n");
    let second = Header::read(bytes[HEADER + 5..].first_chunk().unwrap()).unwrap();
    assert_eq!((second.len, &bytes[2 * HEADER + 5..]), (4, &b"rest"[..]));
    assert!(second.time >= first.time);
    assert_eq!(Header::read(&[0xff; HEADER]), None);
}

#[test]
fn attributes_are_in_every_entry_as_dockers_are() {
    let attributes = BTreeMap::from([("tag".to_owned(), "a\"b".to_owned())]);
    let config = LogConfig { attributes, ..config("attributes", 1 << 20, 2) };
    let mut log = Log::open(config.clone()).unwrap();
    log.write(Stream::Stdout, b"hello\n").unwrap();
    let text = fs::read_to_string(&config.path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["log"], &value["attrs"]["tag"]), (&"hello\n".into(), &"a\"b".into()));
}
