use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::thread;

use super::*;

/// A server that sends each connection the next of `answers`, and the probe for it.
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

const ENOUGH: Duration = Duration::from_secs(60);

fn asking(cancel: &CancellableWait) -> ProbeContext {
    ProbeContext { cancel: cancel.clone(), patience: ENOUGH, seen: LastObservation::default() }
}

const SUBJECT: ProbedService = ProbedService { left: ENOUGH, root: None };

fn ask(question: &ReadinessQuestion) -> ProbeResult {
    let (cancel, _canceller) = CancellableWait::new().unwrap();
    question.probe(&asking(&cancel), SUBJECT)
}

/// What a failed attempt sees.
fn seen(question: &ReadinessQuestion) -> ProbeObservation {
    seen_within(question, ENOUGH)
}

fn seen_within(question: &ReadinessQuestion, patience: Duration) -> ProbeObservation {
    let (cancel, _canceller) = CancellableWait::new().unwrap();
    let asking = ProbeContext { patience, ..asking(&cancel) };
    assert!(!question.probe_once(&asking));
    asking.seen.get().expect("it has seen something")
}

#[test]
fn http_is_asked_until_it_answers_well() {
    let (port, server) =
        server(&["HTTP/1.1 503 Busy\r\n\r\n", "", "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n"]);
    assert_eq!(
        ask(&ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/up?x"), None).unwrap()),
        ProbeResult::Yes
    );
    let requests = server.join().unwrap();
    assert_eq!(requests.len(), 4);
    assert!(requests[0].starts_with(&format!("GET /up?x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")), "{}", requests[0]);
}

#[test]
fn http_with_a_status_takes_that_one_alone() {
    let (port, server) = server(&["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 401 No\r\n\r\n"]);
    assert_eq!(
        ask(&ReadinessQuestion::http(&format!("http://127.0.0.1:{port}"), Some(401)).unwrap()),
        ProbeResult::Yes
    );
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
        // The first connection gets no response: a service that is not ready yet.
        drop(listener.accept().unwrap());
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(config).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let question = ReadinessQuestion::http(&format!("https://127.0.0.1:{port}/up"), Some(204)).unwrap();
    assert_eq!(ask(&question), ProbeResult::Yes);
    let request = server.join().unwrap();
    assert!(request.starts_with(&format!("GET /up HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")), "{request}");
}

#[test]
fn https_to_a_service_without_tls_gets_no_answer() {
    let (port, server) = server(&["HTTP/1.1 400 Speak up\r\n\r\n"]);
    let seen = seen(&ReadinessQuestion::http(&format!("https://127.0.0.1:{port}/"), None).unwrap());
    assert!(matches!(&seen, ProbeObservation::Trouble(text) if text.starts_with("no TLS: ")), "{seen:?}");
    server.join().unwrap();
}

#[test]
fn tcp_is_ready_when_something_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(ask(&ReadinessQuestion::tcp(&address.to_string()).unwrap()), ProbeResult::Yes);
    // A socket that does not listen keeps the number to itself, so that no other program listens on it.
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&deaf, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&deaf).unwrap()).unwrap();
    assert_eq!(
        seen(&ReadinessQuestion::tcp(&address.to_string()).unwrap()),
        ProbeObservation::Refused { listens: None }
    );
    for bad in ["localhost", "localhost:x", ":", "a:70000"] {
        assert!(ReadinessQuestion::tcp(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_unix_socket_is_ready_when_something_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let question = ReadinessQuestion::Unix { path: path.clone() };
    assert_eq!(seen(&question), ProbeObservation::Trouble("there is no such socket".to_owned()));
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(ask(&question), ProbeResult::Yes);
    // Its queue becomes full, which must not block the probe.
    rustix::net::listen(&listener, 0).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| {
        let client = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None);
        let client = client.unwrap();
        rustix::io::ioctl_fionbio(&client, true).unwrap();
        let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
        rustix::net::connect(&client, &address).is_ok().then_some(client)
    })
    .take(1000)
    .collect();
    assert!(waiting.len() < 1000);
    assert_eq!(seen(&question), ProbeObservation::Trouble("it does not accept connections".to_owned()));
    drop(listener);
    assert_eq!(seen(&question), ProbeObservation::Refused { listens: None });
    let long = ReadinessQuestion::Unix { path: folder.path().join("x".repeat(200)) };
    assert_eq!(seen(&long), ProbeObservation::Trouble("the path is too long for a socket".to_owned()));
}

fn command(script: &str, folder: &std::path::Path) -> ReadinessQuestion {
    let mut variables = EnvVariables::default();
    variables.set("PATH", "/usr/bin:/bin");
    ReadinessQuestion::Command {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        cwd: folder.to_path_buf(),
        variables,
        redactor: Redactor::default(),
    }
}

#[test]
fn a_command_is_run_in_its_folder_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ask(&command("echo x >> runs; test $(wc -l < runs) = 3", folder.path())), ProbeResult::Yes);
    assert_eq!(std::fs::read_to_string(folder.path().join("runs")).unwrap(), "x\nx\nx\n");
}

#[test]
fn a_command_that_cannot_start_never_succeeds() {
    let missing = ReadinessQuestion::Command {
        argv: vec!["/no/such".into()],
        cwd: "/".into(),
        variables: EnvVariables::default(),
        redactor: Redactor::default(),
    };
    assert!(matches!(ask(&missing), ProbeResult::Never(reason) if reason.contains("`/no/such` cannot be started")));
}

#[test]
fn a_hanging_command_is_killed_on_cancellation() {
    let folder = tempfile::tempdir().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("gate"), rustix::fs::Mode::RWXU).unwrap();
    let (cancel, canceller) = CancellableWait::new().unwrap();
    let question = command("echo up > gate; exec sleep 1000", folder.path());
    let asking = thread::spawn(move || question.probe(&asking(&cancel), SUBJECT));
    assert_eq!(std::fs::read_to_string(folder.path().join("gate")).unwrap(), "up\n");
    drop(canceller);
    assert_eq!(asking.join().unwrap(), ProbeResult::Cancelled);
}

/// A service that accepts one connection, reads the request, and then does as `then` says.
fn serving(then: impl FnOnce(std::net::TcpStream) + Send + 'static) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        then(stream);
    });
    (port, service)
}

/// Waits until the other side has closed the connection.
fn wait_for_end(stream: &mut std::net::TcpStream) {
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}

#[test]
fn a_response_that_is_not_http_is_quoted() {
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH\r\n", "the answer is not HTTP: `SSH-2.0-OpenSSH`"),
        ("<html>\x1b[31m", "the answer is not HTTP: `<html>?[31m`"),
        ("HTTP/1.1 9999 What\r\n\r\n", "the answer is not HTTP: `HTTP/1.1 9999 What`"),
        ("", "the connection was closed without an answer"),
    ] {
        let (port, server) = server(Box::leak(Box::new([answer])));
        let question = ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap();
        assert_eq!(seen(&question), ProbeObservation::Trouble(expected.to_owned()));
        server.join().unwrap();
    }
    let unknown = ReadinessQuestion::http("http://no-such-host.invalid/", None).unwrap();
    assert!(
        matches!(seen(&unknown), ProbeObservation::Trouble(text) if text.starts_with("`no-such-host.invalid` cannot be resolved"))
    );
}

#[test]
fn an_attempt_ends_at_its_deadline_despite_partial_data() {
    let short = Duration::from_millis(600);
    for bit in ["", "HTTP/1.1"] {
        let (port, service) = serving(move |mut stream| {
            stream.write_all(bit.as_bytes()).unwrap();
            wait_for_end(&mut stream);
        });
        let question = ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap();
        let seen = seen_within(&question, short);
        assert!(matches!(seen, ProbeObservation::Silence(time) if time >= short), "{seen:?}");
        service.join().unwrap();
    }
    // The status counts, whether the rest arrives or not.
    let (port, service) = serving(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap();
        wait_for_end(&mut stream);
    });
    assert_eq!(ask(&ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap()), ProbeResult::Yes);
    service.join().unwrap();
    let (port, service) = serving(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(b"drip").is_ok() {}
    });
    assert_eq!(ask(&ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap()), ProbeResult::Yes);
    service.join().unwrap();
}

#[test]
fn a_slow_answer_is_waited_for_until_cancellation() {
    let (told, answer) = std::sync::mpsc::channel::<()>();
    let (port, service) = serving(move |mut stream| {
        answer.recv().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let question = Arc::new(ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap());
    let (cancel, _canceller) = CancellableWait::new().unwrap();
    let asking_slowly = asking(&cancel);
    let seen = asking_slowly.seen.clone();
    let thread = thread::spawn({
        let question = Arc::clone(&question);
        move || question.probe(&asking_slowly, SUBJECT)
    });
    // An attempt without a response yet is seen as such.
    while !matches!(seen.get(), Some(ProbeObservation::Silence(_))) {
        thread::yield_now();
    }
    told.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), ProbeResult::Yes);
    service.join().unwrap();

    let (asked, was_asked) = std::sync::mpsc::channel();
    let (port, service) = serving(move |mut stream| {
        asked.send(()).unwrap();
        wait_for_end(&mut stream);
    });
    let question = ReadinessQuestion::http(&format!("http://127.0.0.1:{port}/"), None).unwrap();
    let (cancel, canceller) = CancellableWait::new().unwrap();
    let thread = thread::spawn(move || question.probe(&asking(&cancel), SUBJECT));
    was_asked.recv().unwrap();
    drop(canceller);
    assert_eq!(thread.join().unwrap(), ProbeResult::Cancelled);
    service.join().unwrap();
}

#[test]
fn a_command_that_fails_is_seen_with_its_code_and_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let exit = |code, lines: &[&str]| ProbeObservation::Exit {
        code,
        lines: lines.iter().map(|one| (*one).to_owned()).collect(),
    };
    let question = |script: &str| command(script, folder.path());
    assert_eq!(seen(&question("echo out; echo err >&2; exit 3")), exit(3, &["out", "err"]));
    assert_eq!(seen(&question("exit 1")), exit(1, &[]));
    assert_eq!(seen(&question("kill -9 $$")), exit(-9, &[]));
    assert_eq!(seen(&question("seq 100000; exit 1")), exit(1, &["99996", "99997", "99998", "99999", "100000"]));
    // A process left behind with the output open neither delays the result nor survives.
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("gate"), rustix::fs::Mode::RWXU).unwrap();
    let left_behind = question("(sleep 1000 9>>gate) & exit 2");
    let path = folder.path().join("gate");
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut gate = std::fs::File::open(&path).unwrap();
    assert_eq!(seen(&left_behind), exit(2, &[]));
    drop(held);
    let mut written = String::new();
    gate.read_to_string(&mut written).unwrap();
    assert_eq!(written, "", "it ends when no process has it open");
    // A command that never stops writing is ended by the timeout.
    let seen = seen_within(&question("yes"), Duration::from_millis(50));
    assert!(matches!(seen, ProbeObservation::Silence(_)), "{seen:?}");
}

#[test]
fn a_service_that_listens_elsewhere_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = listening_below(std::process::id()).unwrap();
    assert!(found.contains(&listener.local_addr().unwrap()), "{found:?}");
}

#[test]
fn a_service_notifies_its_readiness() {
    let socket = NotifySocket::new().unwrap();
    let path = socket.path().to_path_buf();
    let question = ReadinessQuestion::Notify(socket);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"STATUS=starting", &path).unwrap();
    sender.send_to(b"READY=1\n", &path).unwrap();
    assert_eq!(ask(&question), ProbeResult::Yes);
    let (cancel, canceller) = CancellableWait::new().unwrap();
    drop(canceller);
    assert_eq!(question.probe(&asking(&cancel), SUBJECT), ProbeResult::Cancelled);
}

#[test]
fn endless_probes_run_at_the_same_moments() {
    let pause = Duration::from_secs(7200);
    let (one, other) = (until_next(pause), until_next(pause));
    assert!(one > Duration::ZERO && one <= pause && other <= pause);
    // Both end at the same moment, unless that has just passed.
    assert!(other <= one || one < Duration::from_secs(60), "{one:?} {other:?}");
}

#[test]
fn pauses_grow_with_the_time_that_has_passed() {
    assert_eq!(pause(Duration::ZERO), Duration::from_millis(10));
    assert_eq!(pause(Duration::from_millis(200)), Duration::from_millis(50));
    assert_eq!(pause(Duration::from_secs(3)), Duration::from_millis(750));
    assert_eq!(pause(Duration::from_secs(60)), Duration::from_secs(1));
    // How many times a service that always fails is probed in its first eight seconds.
    let mut elapsed = Duration::ZERO;
    let asked = std::iter::from_fn(|| {
        elapsed += pause(elapsed);
        (elapsed < Duration::from_secs(8)).then_some(())
    });
    assert_eq!(asked.count(), 28);
}

#[test]
fn pauses_stay_short_at_first_while_nothing_listens() {
    assert_eq!(pause_at_the_door(Duration::ZERO), Duration::from_millis(10));
    assert_eq!(pause_at_the_door(Duration::from_millis(160)), Duration::from_millis(20));
    assert_eq!(pause_at_the_door(Duration::from_secs(19)), Duration::from_millis(25), "readiness is seen at once");
    assert_eq!(pause_at_the_door(Duration::from_secs(22)), Duration::from_millis(250));
    assert_eq!(pause_at_the_door(Duration::from_secs(60)), Duration::from_secs(1));
}
