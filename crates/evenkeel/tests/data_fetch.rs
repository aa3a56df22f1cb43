//! Downloads from a server on this machine: whole ones, ones that stop, and what must not be taken for the published file.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use evenkeel::data::{FetchEvent, FetchOptions, Fetched, Published, PublishedFile, fetch, published};
use evenkeel::{Error, Result};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What the server does with a request.
#[derive(Clone, Debug)]
enum Reply {
    /// Sends the file, from the asked byte on.
    Send,
    /// Sends the whole file, whatever was asked.
    SendAll,
    /// Promises all and sends so many bytes.
    Cut(usize),
    /// The same, and keeps the connection open.
    Stall(usize),
    /// Sends other bytes.
    Other(&'static [u8]),
    /// Has no file.
    Status(&'static str),
}

/// A server that answers request after request as told, the last reply again and again, and remembers what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(replies: &[Reply]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/files/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, replies) = (asked.clone(), replies.to_vec());
        thread::spawn(move || {
            // Stalled connections stay open.
            let mut open = Vec::new();
            for stream in listener.incoming().take(50) {
                let Ok(mut stream) = stream else { return };
                let place = log.lock().unwrap().len().min(replies.len() - 1);
                answer(&mut stream, &replies[place], &log);
                if matches!(replies[place], Reply::Stall(_)) {
                    open.push(stream);
                }
            }
        });
        Server { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(stream: &mut TcpStream, reply: &Reply, log: &Mutex<Vec<String>>) {
    let mut head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::result::Result::ok);
    let request = head.next().unwrap_or_default();
    let mut from = 0;
    for line in head.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(if from > 0 { format!("{path} from {from}") } else { path.clone() });
    let file = content(path.rsplit('/').next().unwrap());
    let (status, body, told) = match reply {
        Reply::Send if from > 0 => ("206 Partial Content", &file[from..], file.len() - from),
        Reply::Send | Reply::SendAll => ("200 OK", &file[..], file.len()),
        Reply::Cut(sent) | Reply::Stall(sent) if from > 0 => {
            ("206 Partial Content", &file[from..(from + sent).min(file.len())], file.len() - from)
        }
        Reply::Cut(sent) | Reply::Stall(sent) => ("200 OK", &file[..*sent], file.len()),
        Reply::Other(bytes) if from > 0 => ("206 Partial Content", *bytes, bytes.len()),
        Reply::Other(bytes) => ("200 OK", *bytes, bytes.len()),
        Reply::Status(status) => (*status, &b"no"[..], 2),
    };
    let range = match status.starts_with("206") {
        true => format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len()),
        false => String::new(),
    };
    let head = format!("HTTP/1.1 {status}\r\n{range}Content-Length: {told}\r\nConnection: close\r\n\r\n");
    // The client may have heard enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
}

/// The bytes of a file of the server.
fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().zip(0..100_000_u32).map(|(letter, place)| letter ^ (place / 7) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn set(names: &[&str], addresses: &[&str]) -> Published {
    let file = |name: &&str| {
        let bytes = content(name);
        PublishedFile { name: (*name).to_owned(), bytes: bytes.len() as u64, sha256: sha256(&bytes) }
    };
    Published {
        name: "mnist".into(),
        folder: "data/mnist".into(),
        files: names.iter().map(file).collect(),
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
    }
}

fn options() -> FetchOptions {
    FetchOptions { from: None, pause: Duration::from_millis(1), patience: Duration::from_secs(20) }
}

/// What is fetched from a server, and what was said meanwhile.
fn run(set: &Published, folder: &Path, options: &FetchOptions) -> (Result<Vec<Fetched>>, Vec<String>) {
    let mut said = Vec::new();
    let result = fetch(set, folder, options, &mut |event| {
        said.push(match event {
            FetchEvent::Present { file } => format!("{file} is there"),
            FetchEvent::Started { file, done, total, .. } => format!("{file} from {done} of {total}"),
            FetchEvent::Received { .. } => return,
            FetchEvent::Again { file, reason } => format!("{file} again: {reason}"),
            FetchEvent::Finished { file } => format!("{file} is whole"),
        });
    });
    (result, said)
}

fn one(server: &Server, folder: &Path) -> (Result<Vec<Fetched>>, Vec<String>) {
    run(&set(&["a.gz"], &[&server.address]), folder, &options())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn says(error: &Error, parts: &[&str]) {
    let error = error.to_string();
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
}

#[test]
fn files_are_fetched_whole_and_only_once() {
    let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
    let folder = place.path().join("new/folder");
    let set = set(&["a.gz", "b.gz"], &[&server.address]);
    let (fetched, said) = run(&set, &folder, &options());
    let fetched = fetched.unwrap();
    assert!(fetched.iter().all(|file| file.downloaded && file.bytes == 100_000));
    assert_eq!(said, ["a.gz from 0 of 100000", "a.gz is whole", "b.gz from 0 of 100000", "b.gz is whole"]);
    assert_eq!(names(&folder), ["a.gz", "b.gz"]);
    assert_eq!(fs::read(&fetched[1].path).unwrap(), content("b.gz"));
    assert_eq!(server.asked(), ["/files/a.gz", "/files/b.gz"]);
    let (again, said) = run(&set, &folder, &options());
    assert!(again.unwrap().iter().all(|file| !file.downloaded));
    assert_eq!(said, ["a.gz is there", "b.gz is there"]);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_download_goes_on_from_where_an_earlier_one_stopped() {
    let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
    fs::write(place.path().join("a.gz.part"), &content("a.gz")[..40_000]).unwrap();
    let (fetched, said) = one(&server, place.path());
    fetched.unwrap();
    assert_eq!(server.asked(), ["/files/a.gz from 40000"]);
    assert_eq!(said, ["a.gz from 40000 of 100000", "a.gz is whole"]);
    assert_eq!(
        (names(place.path()), fs::read(place.path().join("a.gz")).unwrap()),
        (vec!["a.gz".to_owned()], content("a.gz"))
    );
}

#[test]
fn a_download_that_only_lacked_its_name_asks_nobody() {
    let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
    fs::write(place.path().join("a.gz.part"), content("a.gz")).unwrap();
    one(&server, place.path()).0.unwrap();
    assert_eq!((names(place.path()), server.asked().len()), (vec!["a.gz".to_owned()], 0));
}

#[test]
fn a_server_that_cannot_go_on_sends_the_whole_file() {
    for replies in [&[Reply::SendAll][..], &[Reply::Status("416 Range Not Satisfiable"), Reply::Send]] {
        let (server, place) = (Server::new(replies), TempDir::new().unwrap());
        fs::write(place.path().join("a.gz.part"), &content("a.gz")[..40_000]).unwrap();
        one(&server, place.path()).0.unwrap();
        assert_eq!(fs::read(place.path().join("a.gz")).unwrap(), content("a.gz"));
    }
}

#[test]
fn what_was_here_before_and_does_not_belong_to_the_file_is_thrown_away() {
    for length in [40_000, 100_000, 100_001] {
        let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
        fs::write(place.path().join("a.gz.part"), vec![1; length]).unwrap();
        one(&server, place.path()).0.unwrap();
        assert_eq!(fs::read(place.path().join("a.gz")).unwrap(), content("a.gz"));
        assert_eq!(server.asked().last().unwrap(), "/files/a.gz");
    }
}

#[test]
fn a_file_with_a_wrong_checksum_is_refused_and_removed() {
    let place = TempDir::new().unwrap();
    let server = Server::new(&[Reply::Other(b"<html>please log in to this network</html>")]);
    let mut set = set(&["a.gz"], &[&server.address]);
    set.files[0].bytes = 42;
    let error = run(&set, place.path(), &options()).0.unwrap_err();
    let got = sha256(b"<html>please log in to this network</html>");
    says(&error, &["what was downloaded is not the published a.gz", "/files/a.gz", &set.files[0].sha256, &got]);
    assert_eq!(names(place.path()), Vec::<String>::new());
    assert_eq!(server.asked().len(), 1);
    set.files[0].bytes = 41;
    says(&run(&set, place.path(), &options()).0.unwrap_err(), &["is not the published a.gz", "more than 41 bytes"]);
    assert_eq!(names(place.path()), Vec::<String>::new());
}

#[test]
fn a_connection_that_ends_early_is_taken_up_again() {
    let (server, place) =
        (Server::new(&[Reply::Cut(30_000), Reply::Cut(30_000), Reply::Send]), TempDir::new().unwrap());
    let (fetched, said) = one(&server, place.path());
    fetched.unwrap();
    assert_eq!(server.asked(), ["/files/a.gz", "/files/a.gz from 30000", "/files/a.gz from 60000"]);
    assert_eq!(said.iter().filter(|line| line.starts_with("a.gz again: ")).count(), 2, "{said:?}");
    assert_eq!(fs::read(place.path().join("a.gz")).unwrap(), content("a.gz"));
}

#[test]
fn a_connection_that_stalls_is_taken_up_again() {
    let (server, place) = (Server::new(&[Reply::Stall(50_000), Reply::Send]), TempDir::new().unwrap());
    let options = FetchOptions { patience: Duration::from_secs(2), ..options() };
    let (fetched, said) = run(&set(&["a.gz"], &[&server.address]), place.path(), &options);
    fetched.unwrap();
    assert!(said.iter().any(|line| line.starts_with("a.gz again: ")), "{said:?}");
    // On a busy machine nothing may have come in that time.
    assert!(server.asked().len() > 1 && server.asked()[0] == "/files/a.gz", "{:?}", server.asked());
    assert_eq!(fs::read(place.path().join("a.gz")).unwrap(), content("a.gz"));
}

#[test]
fn a_server_that_always_ends_early_is_given_up_and_what_came_is_kept() {
    let (server, place) = (Server::new(&[Reply::Cut(30_000), Reply::Cut(0)]), TempDir::new().unwrap());
    let (fetched, _) = one(&server, place.path());
    says(
        &fetched.unwrap_err(),
        &["a.gz cannot be downloaded\n", "kept      30,000 of 100,000 bytes; the same command goes on"],
    );
    assert_eq!(names(place.path()), ["a.gz.part"]);
    assert_eq!(server.asked().len(), 4);
    let better = Server::new(&[Reply::Send]);
    one(&better, place.path()).0.unwrap();
    assert_eq!(better.asked(), ["/files/a.gz from 30000"]);
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_without_the_file_is_not() {
    let (server, place) =
        (Server::new(&[Reply::Status("503 Service Unavailable"), Reply::Send]), TempDir::new().unwrap());
    let (fetched, said) = one(&server, place.path());
    fetched.unwrap();
    assert_eq!(said[0], "a.gz again: the server says 503 Service Unavailable");
    let (missing, place) = (Server::new(&[Reply::Status("404 Not Found")]), TempDir::new().unwrap());
    let error = one(&missing, place.path()).0.unwrap_err();
    says(
        &error,
        &[
            "a.gz cannot be downloaded\n",
            &format!("address   {}a.gz", missing.address),
            "the server says 404 Not Found",
        ],
    );
    assert_eq!((names(place.path()), missing.asked().len()), (Vec::<String>::new(), 1));
    // The next address may have it.
    let set = set(&["a.gz"], &[&missing.address, &server.address]);
    run(&set, place.path(), &options()).0.unwrap();
}

#[test]
fn without_a_connection_it_is_said_what_to_do_by_hand() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = TempDir::new().unwrap();
    let folder = place.path().join("data/mnist");
    let address = format!("http://{closed}/files");
    let error = run(&set(&["a.gz"], &[&address]), &folder, &options()).0.unwrap_err();
    let hand =
        format!("download a.gz from {address}/, put it into {}, and run the same command again", folder.display());
    says(&error, &["a.gz cannot be downloaded: no server can be reached", &format!("address   {address}/a.gz"), &hand]);
    assert_eq!(names(place.path()), Vec::<String>::new());
    let options = FetchOptions { from: Some("http://no-such-host.invalid".into()), ..options() };
    let error = run(&set(&["a.gz"], &[&address]), &folder, &options).0.unwrap_err();
    says(&error, &["no server can be reached", "address   http://no-such-host.invalid/a.gz"]);
    let set = set(&["a.gz", "b.gz"], &[&address]);
    let error = run(&set, &folder, &self::options()).0.unwrap_err();
    says(&error, &[&format!("download a.gz, b.gz from {address}/, put them into ")]);
}

#[test]
fn a_file_of_the_name_that_is_another_one_is_left_as_it_is() {
    let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
    for mine in [b"mine".to_vec(), vec![1; 100_000]] {
        fs::write(place.path().join("a.gz"), &mine).unwrap();
        let error = one(&server, place.path()).0.unwrap_err();
        says(&error, &["a.gz is there, and is not the published file", "--out DIR"]);
        assert_eq!(fs::read(place.path().join("a.gz")).unwrap(), mine);
    }
    assert_eq!((names(place.path()), server.asked().len()), (vec!["a.gz".to_owned()], 0));
}

#[test]
fn two_processes_do_not_write_one_file() {
    let (server, place) = (Server::new(&[Reply::Send]), TempDir::new().unwrap());
    let held = fs::File::create(place.path().join("a.gz.part")).unwrap();
    held.lock().unwrap();
    says(&one(&server, place.path()).0.unwrap_err(), &["another process is downloading this file", "a.gz.part"]);
    drop(held);
    one(&server, place.path()).0.unwrap();
}

#[test]
fn published_sets_are_those_that_can_be_read_and_have_whole_checksums() {
    for set in published() {
        let spec: evenkeel::data::DataSpec = format!("{}:{}", set.name, set.folder.display()).parse().unwrap();
        assert_eq!(spec.name(), set.name);
        assert!(set.files.iter().all(|file| file.sha256.len() == 64 && file.bytes > 0));
        assert!(set.addresses.iter().all(|address| address.starts_with("http")));
    }
    let error = Published::named("minst").unwrap_err().to_string();
    assert!(error.contains("'minst' cannot be fetched") && error.contains("did you mean 'mnist'?"), "{error}");
    assert!(Published::named("digits").unwrap_err().to_string().contains("'digits' is built in"));
    assert!(Published::named("csv").unwrap_err().to_string().contains("data of your own"));
}

#[test]
fn the_files_of_mnist_beside_the_project_are_the_published_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the data set is missing: {}", folder.display());
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let mnist = Published::named("mnist").unwrap();
    let options = FetchOptions { from: Some("http://no-such-host.invalid".into()), ..options() };
    let fetched = run(&mnist, &folder, &options).0.unwrap();
    assert!(fetched.len() == 4 && fetched.iter().all(|file| !file.downloaded));
}
