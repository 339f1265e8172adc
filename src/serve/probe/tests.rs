use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::thread;

use super::*;

/// A server that gives each connection the next of `answers`, and the question for it.
fn server(answers: &'static [&'static str]) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let handle = thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (port, handle)
}

fn ask(question: &Question) -> Answer {
    let (cancel, _canceller) = Cancel::new().unwrap();
    question.ask(&cancel)
}

#[test]
fn http_is_asked_until_it_answers_well() {
    let (port, server) =
        server(&["HTTP/1.1 503 Busy\r\n\r\n", "", "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n"]);
    assert_eq!(ask(&Question::http(&format!("http://127.0.0.1:{port}/up?x"), None).unwrap()), Answer::Yes);
    let requests = server.join().unwrap();
    assert_eq!(requests.len(), 4);
    assert!(requests[0].starts_with(&format!("GET /up?x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")), "{}", requests[0]);
}

#[test]
fn http_with_a_status_takes_that_one_alone() {
    let (port, server) = server(&["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 401 No\r\n\r\n"]);
    assert_eq!(ask(&Question::http(&format!("http://127.0.0.1:{port}"), Some(401)).unwrap()), Answer::Yes);
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn https_takes_any_certificate_for_good() {
    let certificate = rustls::pki_types::CertificateDer::from(&include_bytes!("testdata/certificate.der")[..]);
    let key = rustls::pki_types::PrivateKeyDer::try_from(&include_bytes!("testdata/key.der")[..]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        // The first connection is not answered: a service that is not ready yet.
        drop(listener.accept().unwrap());
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(config).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let question = Question::http(&format!("https://127.0.0.1:{port}/up"), Some(204)).unwrap();
    assert_eq!(ask(&question), Answer::Yes);
    let request = server.join().unwrap();
    assert!(request.starts_with(&format!("GET /up HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")), "{request}");
}

#[test]
fn https_to_a_service_without_tls_is_no_answer() {
    let (port, server) = server(&["HTTP/1.1 400 Speak up\r\n\r\n"]);
    let (cancel, _canceller) = Cancel::new().unwrap();
    assert!(!Question::http(&format!("https://localhost:{port}/"), None).unwrap().ask_once(&cancel));
    server.join().unwrap();
}

#[test]
fn tcp_is_ready_when_something_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(ask(&Question::tcp(&address.to_string()).unwrap()), Answer::Yes);
    // A socket that does not listen has its number to itself, so that nobody else listens there either.
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&deaf, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&deaf).unwrap()).unwrap();
    let (cancel, _canceller) = Cancel::new().unwrap();
    assert_eq!(Question::tcp(&address.to_string()).unwrap().attempt(&cancel), Ok(false));
    for bad in ["localhost", "localhost:x", ":", "a:70000"] {
        assert!(Question::tcp(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_unix_socket_is_ready_when_something_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (cancel, _canceller) = Cancel::new().unwrap();
    let question = Question::Unix { path: path.clone() };
    assert_eq!(question.attempt(&cancel), Ok(false));
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(ask(&question), Answer::Yes);
}

fn command(script: &str, folder: &std::path::Path) -> Question {
    let mut variables = Variables::default();
    variables.set("PATH", "/usr/bin:/bin");
    Question::Command { argv: vec!["sh".into(), "-c".into(), script.into()], cwd: folder.to_path_buf(), variables }
}

#[test]
fn a_command_is_run_in_its_folder_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ask(&command("echo x >> runs; test $(wc -l < runs) = 3", folder.path())), Answer::Yes);
    assert_eq!(std::fs::read_to_string(folder.path().join("runs")).unwrap(), "x\nx\nx\n");
}

#[test]
fn a_command_that_cannot_start_never_succeeds() {
    let missing = Question::Command { argv: vec!["/no/such".into()], cwd: "/".into(), variables: Variables::default() };
    assert!(matches!(ask(&missing), Answer::Never(reason) if reason.contains("`/no/such` cannot be started")));
}

#[test]
fn a_command_that_hangs_is_killed_when_nobody_wants_to_know() {
    let folder = tempfile::tempdir().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("gate"), rustix::fs::Mode::RWXU).unwrap();
    let (cancel, canceller) = Cancel::new().unwrap();
    let question = command("echo up > gate; exec sleep 1000", folder.path());
    let asking = thread::spawn(move || question.ask(&cancel));
    assert_eq!(std::fs::read_to_string(folder.path().join("gate")).unwrap(), "up\n");
    drop(canceller);
    assert_eq!(asking.join().unwrap(), Answer::Cancelled);
}

#[test]
fn a_service_says_itself_that_it_is_ready() {
    let socket = Notify::new().unwrap();
    let path = socket.path().to_path_buf();
    let question = Question::Notify(socket);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"STATUS=starting", &path).unwrap();
    sender.send_to(b"READY=1\n", &path).unwrap();
    assert_eq!(ask(&question), Answer::Yes);
    let (cancel, canceller) = Cancel::new().unwrap();
    drop(canceller);
    assert_eq!(question.ask(&cancel), Answer::Cancelled);
}

#[test]
fn what_is_asked_for_ever_is_asked_at_the_same_moments() {
    let pause = Duration::from_secs(7200);
    let (one, other) = (until_next(pause), until_next(pause));
    assert!(one > Duration::ZERO && one <= pause && other <= pause);
    // Both end at the same moment, unless that has just passed.
    assert!(other <= one || one < Duration::from_secs(60), "{one:?} {other:?}");
}

#[test]
fn pauses_grow_with_the_time_that_has_passed() {
    assert_eq!(pause(Duration::ZERO), Duration::from_millis(10));
    assert_eq!(pause(Duration::from_millis(160)), Duration::from_millis(20));
    assert_eq!(pause(Duration::from_secs(19)), Duration::from_millis(25), "readiness is still seen at once");
    assert_eq!(pause(Duration::from_secs(22)), Duration::from_millis(250));
    assert_eq!(pause(Duration::from_secs(60)), Duration::from_secs(1));
}
