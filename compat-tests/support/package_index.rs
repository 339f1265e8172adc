//! Serves a local package index whose files can be withdrawn, lost and changed while it is in use.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

/// Serves wheels until it is dropped.
pub struct PackageIndex {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shelf {
    files: Mutex<BTreeMap<String, Listed>>,
    closed: AtomicBool,
    /// While there is one, every request is reported to it and none is answered.
    held: Mutex<Option<Sender<()>>>,
    released: Condvar,
}

#[derive(Clone)]
struct Listed {
    path: PathBuf,
    /// What the page says of it, whatever the file holds by now.
    sha256: String,
    yanked: Option<String>,
    requires_python: Option<String>,
}

impl PackageIndex {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let shelf = Arc::new(Shelf::default());
        let of_server = Arc::clone(&shelf);
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_server.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shelf = Arc::clone(&of_server);
                std::thread::spawn(move || shelf.answer(stream));
            }
        });
        Self { address, shelf, server: Some(server) }
    }

    /// For `PIP_INDEX_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/simple", self.address)
    }

    /// Where a file is.
    pub fn file_url(&self, name: &str) -> String {
        format!("http://{}/files/{name}", self.address)
    }

    /// Lists a wheel with the hash that it has now.
    pub fn add(&self, wheel: &Path) {
        let name = wheel.file_name().expect("a wheel has a name").to_string_lossy().into_owned();
        let digest = Sha256::digest(fs::read(wheel).expect("the wheel can be read"));
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let listed = Listed { path: wheel.to_owned(), sha256, yanked: None, requires_python: None };
        self.shelf.files.lock().expect("no thread panicked").insert(name, listed);
    }

    /// Withdraws a file: whoever asks for exactly that one still gets it.
    pub fn yank(&self, name: &str, reason: &str) {
        let mut files = self.shelf.files.lock().expect("no thread panicked");
        files.get_mut(name).expect("it is listed").yanked = Some(reason.to_owned());
    }

    /// Says of a file which Pythons it is for.
    pub fn require_python(&self, name: &str, specifier: &str) {
        let mut files = self.shelf.files.lock().expect("no thread panicked");
        files.get_mut(name).expect("it is listed").requires_python = Some(specifier.to_owned());
    }

    /// Holds every response until [`Self::go_on`]. The returned channel reports each request.
    pub fn hold(&self) -> Receiver<()> {
        let (sender, receiver) = mpsc::channel();
        *self.shelf.held.lock().expect("no thread panicked") = Some(sender);
        receiver
    }

    pub fn go_on(&self) {
        *self.shelf.held.lock().expect("no thread panicked") = None;
        self.shelf.released.notify_all();
    }

    /// Takes a file away.
    pub fn lose(&self, name: &str) {
        self.shelf.files.lock().expect("no thread panicked").remove(name).expect("it was listed");
    }
}

impl Drop for PackageIndex {
    fn drop(&mut self) {
        self.go_on();
        self.shelf.closed.store(true, Ordering::SeqCst);
        // Wakes the server, which checks whether to continue only on a new connection.
        let _ = TcpStream::connect(self.address);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

impl Shelf {
    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(&stream).lines();
        let Some(Ok(first)) = lines.next() else { return };
        // Whoever answers before everything was read may cut the other off.
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let mut held = self.held.lock().expect("no thread panicked");
        if let Some(sender) = &*held {
            // There may be no listener.
            let _ = sender.send(());
        }
        while held.is_some() {
            held = self.released.wait(held).expect("no thread panicked");
        }
        drop(held);
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let found = match path.trim_matches('/').split_once('/') {
            Some(("simple", project)) => self.page(project).map(|page| (page.into_bytes(), "text/html")),
            Some(("files", name)) => self.file(name).map(|content| (content, "application/octet-stream")),
            _ => None,
        };
        let (status, (body, kind)) = match found {
            Some(found) => ("200 OK", found),
            None => ("404 Not Found", (b"there is no such thing".to_vec(), "text/plain")),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let body = if method == "HEAD" { &[] } else { body.as_slice() };
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    }

    fn page(&self, project: &str) -> Option<String> {
        let files = self.files.lock().expect("no thread panicked");
        let of_project = files.iter().filter(|(name, _)| name.split('-').next() == Some(project));
        let line = |(name, listed): (&String, &Listed)| {
            let yanked = listed.yanked.as_ref().map(|reason| format!(" data-yanked=\"{reason}\"")).unwrap_or_default();
            let python = listed.requires_python.as_ref().map(|python| python.replace('<', "&lt;").replace('>', "&gt;"));
            let python = python.map(|python| format!(" data-requires-python=\"{python}\"")).unwrap_or_default();
            format!("<a href=\"/files/{name}#sha256={}\"{yanked}{python}>{name}</a>\n", listed.sha256)
        };
        let lines: String = of_project.map(line).collect();
        (!lines.is_empty()).then(|| format!("<!DOCTYPE html><html><body>\n{lines}</body></html>\n"))
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.files.lock().expect("no thread panicked").get(name)?.path.clone();
        fs::read(path).ok()
    }
}
