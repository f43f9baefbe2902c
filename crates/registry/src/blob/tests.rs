use std::io::Read;
use std::time::Duration;

use stdx::Kind;

use super::*;
use crate::harness::{NAME, bytes, client, impatient, pull, quick, reference};
use crate::testing::{Fault, Server};
use crate::{Access, Config};

const SIZE: usize = 3 << 20;

fn read(reader: &mut BlobReader) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    reader.read_to_end(&mut read).map_err(into_error)?;
    Ok(read)
}

fn impatient_pull(server: &Server) -> Repository {
    client(&impatient()).repository(&reference(server, NAME), Access::Pull)
}

#[test]
fn a_blob_comes_whole_and_from_any_offset() {
    let server = Server::start();
    let content = bytes(SIZE);
    let descriptor = server.put_blob(NAME, &content);
    for offset in [0, 1, SIZE / 2, SIZE - 1, SIZE] {
        let mut reader = pull(&server).blob(&descriptor, offset as u64).unwrap();
        assert!(read(&mut reader).unwrap() == content[offset..], "from {offset}");
        assert_eq!((reader.position(), reader.resumed_at()), (SIZE as u64, &[][..]));
    }
    // Compressed on its way, it would be another length.
    let asked = server.asked("GET", "/blobs/");
    assert!(asked.iter().all(|asked| asked.header("accept-encoding") == Some("identity")), "{asked:?}");
    assert_eq!(pull(&server).blob(&descriptor, SIZE as u64 + 1).unwrap_err().kind(), Kind::Invalid);
    let empty = server.put_blob(NAME, b"");
    assert!(read(&mut pull(&server).blob(&empty, 0).unwrap()).unwrap().is_empty());
}

#[test]
fn a_connection_that_was_read_to_its_end_is_used_again() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(SIZE));
    let repository = pull(&server);
    for _ in 0..5 {
        read(&mut repository.blob(&descriptor, 0).unwrap()).unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_broken_stream_goes_on_where_it_broke() {
    let server = Server::start();
    let content = bytes(SIZE);
    let descriptor = server.put_blob(NAME, &content);
    server.fail("GET", "/blobs/", Fault::Cut(1_000_000));
    server.fail("GET", "/blobs/", Fault::status(502));
    server.fail("GET", "/blobs/", Fault::Cut(500_000));
    let mut reader = pull(&server).blob(&descriptor, 0).unwrap();
    assert!(read(&mut reader).unwrap() == content);
    assert_eq!(reader.resumed_at(), [1_000_000, 1_500_000]);
    let ranges: Vec<_> = server.asked("GET", "/blobs/").iter().map(|a| a.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.last().unwrap().as_deref(), Some("bytes=1500000-"));
}

#[test]
fn a_host_without_ranges_is_read_from_the_start_again() {
    let server = Server::start();
    let content = bytes(SIZE);
    let descriptor = server.put_blob(NAME, &content);
    server.fail("GET", "/blobs/", Fault::Cut(1_000_000));
    server.fail("GET", "/blobs/", Fault::NoRange);
    let mut reader = pull(&server).blob(&descriptor, 0).unwrap();
    assert!(read(&mut reader).unwrap() == content);
    assert_eq!(reader.resumed_at(), [1_000_000]);
}

#[test]
fn a_stream_that_stands_still_is_given_up_and_a_slow_one_is_not() {
    let server = Server::start();
    let content = bytes(SIZE);
    let descriptor = server.put_blob(NAME, &content);
    server.fail("GET", "/blobs/", Fault::Stall(700_000));
    let mut reader = impatient_pull(&server).blob(&descriptor, 0).unwrap();
    assert!(read(&mut reader).unwrap() == content);
    assert_eq!(reader.resumed_at(), [700_000]);

    let small = server.put_blob(NAME, &content[..40]);
    server.fail("GET", "/blobs/", Fault::Slow { piece: 2, pause: Duration::from_millis(20) });
    let mut reader = impatient_pull(&server).blob(&small, 0).unwrap();
    assert_eq!(read(&mut reader).unwrap(), content[..40]);
    assert!(reader.resumed_at().is_empty());
}

#[test]
fn what_breaks_again_and_again_is_told() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(SIZE));
    server.fail_times(99, "GET", "/blobs/", Fault::Cut(1000));
    let error = read(&mut pull(&server).blob(&descriptor, 0).unwrap()).unwrap_err().to_string();
    let host = server.host();
    let expected = format!(
        "cannot read blob \"{host}/team/app@{}\" beyond byte 6000 of {SIZE}, asked 6 times: registry \"{host}\": ",
        descriptor.digest
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn progress_forgives_earlier_misfortunes() {
    let server = Server::start();
    let content = bytes(20 << 20);
    let descriptor = server.put_blob(NAME, &content);
    server.fail_times(15, "GET", "/blobs/", Fault::Cut(1_200_000));
    let config = Config { retries: 1, ..quick() };
    let mut reader = client(&config).repository(&reference(&server, NAME), Access::Pull).blob(&descriptor, 0).unwrap();
    assert!(read(&mut reader).unwrap() == content);
    assert_eq!(reader.resumed_at().len(), 15);
}

#[test]
fn a_registry_that_goes_away_and_comes_back_not_at_all_ends_it() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(SIZE));
    server.fail("GET", "/blobs/", Fault::Stall(1000));
    let mut reader = pull(&server).blob(&descriptor, 0).unwrap();
    reader.read_exact(&mut [0; 1000]).unwrap();
    drop(server);
    let error = read(&mut reader).unwrap_err().to_string();
    assert!(error.contains("beyond byte 1000"), "{error}");
    assert!(error.contains("connection refused"), "{error}");
    assert_eq!(reader.read(&mut [0]).unwrap_err().to_string(), "an earlier error was final");
}

#[test]
fn wrong_answers_are_refused() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(1000));
    let mut longer = descriptor.clone();
    longer.size = 1001;
    let error = pull(&server).blob(&longer, 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().ends_with("it has 1000 bytes instead of 1001"), "{error}");
    for (header, value) in [
        ("Content-Range", "bytes 0-999/1000"),
        ("Content-Range", "bytes 10-998/1000"),
        ("Content-Range", "bytes 10-999/1001"),
        ("Content-Range", "nonsense"),
        ("Content-Encoding", "gzip"),
    ] {
        server.fail("GET", "/blobs/", Fault::Header(header, value.to_owned()));
        let error = pull(&server).blob(&descriptor, 10).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{header}: {value}: {error}");
    }
    server.fail("GET", "/blobs/", Fault::Header("Content-Range", "bytes 10-999/*".to_owned()));
    assert_eq!(read(&mut pull(&server).blob(&descriptor, 10).unwrap()).unwrap(), bytes(1000)[10..]);
}

#[test]
fn a_body_without_an_end_is_cut_and_told() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(1000));
    server.fail("GET", "/blobs/", Fault::EndlessBody);
    let error = read(&mut pull(&server).blob(&descriptor, 0).unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("sends more than the 1000 bytes"), "{error}");
}

#[test]
fn headers_without_an_end_are_refused() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(1000));
    server.fail_times(9, "GET", "/blobs/", Fault::EndlessHeaders);
    let error = pull(&server).blob(&descriptor, 0).unwrap_err();
    assert!(error.to_string().contains("header"), "{error}");
}

#[test]
fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(1000));
    server.fail("GET", "/blobs/", Fault::SlowHead(Duration::from_millis(20)));
    let config = Config { stall_timeout: Duration::from_millis(200), retries: 0, ..quick() };
    let repository = client(&config).repository(&reference(&server, NAME), Access::Pull);
    let error = repository.blob(&descriptor, 0).unwrap_err();
    assert!(error.to_string().ends_with("no answer in time"), "{error}");
}

#[test]
fn nonsense_for_an_answer_is_refused() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, &bytes(1000));
    let nonsense = [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 1000\r\n\r\n",
        "\r\n\r\n\0\0\0\0\0",
    ];
    for text in nonsense {
        server.fail_times(6, "GET", "/blobs/", Fault::Raw(text.as_bytes().to_vec()));
        let result = pull(&server).blob(&descriptor, 0).and_then(|mut reader| read(&mut reader));
        assert!(result.is_err(), "{text:?}");
        // What is left of the faults is not for the next.
        while pull(&server).blob(&descriptor, 0).and_then(|mut reader| read(&mut reader)).is_err() {}
    }
}

#[test]
fn small_blobs_are_verified() {
    let server = Server::start();
    let content = bytes(5000);
    let descriptor = server.put_blob(NAME, &content);
    assert_eq!(pull(&server).blob_bytes(&descriptor, 5000).unwrap(), content);
    assert_eq!(pull(&server).blob_bytes(&descriptor, 4999).unwrap_err().kind(), Kind::Corrupt);
    server.fail("GET", "/blobs/", Fault::WrongByte);
    let error = pull(&server).blob_bytes(&descriptor, 5000).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("has digest sha256:"), "{error}");
}

#[test]
fn whether_a_blob_is_there() {
    let server = Server::start();
    let descriptor = server.put_blob(NAME, b"x");
    assert!(pull(&server).has_blob(descriptor.digest).unwrap());
    assert!(!pull(&server).has_blob(BlobDigest::new(Digest::of(b"y"))).unwrap());
    assert!(server.asked("GET", "/blobs/").is_empty());
    server.fail_times(9, "HEAD", "/blobs/", Fault::status(500));
    assert!(pull(&server).has_blob(descriptor.digest).is_err());
}

#[test]
fn a_missing_blob_is_named() {
    let server = Server::start();
    let descriptor = Descriptor::new("", BlobDigest::new(Digest::of(b"y")), 1);
    let error = pull(&server).blob(&descriptor, 0).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("blob unknown: blob unknown to registry"), "{error}");
}

#[test]
fn ranges() {
    assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
    assert_eq!(content_range("bytes 0-0/*"), Some((0, 0, None)));
    for bad in ["", "bytes */10", "bytes 5-/10", "5-9/10", "bytes 1-18446744073709551615/*", "bytes -1-2/3"] {
        assert_eq!(content_range(bad), None, "{bad}");
    }
}
