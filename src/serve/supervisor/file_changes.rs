//! Restarts a service, or runs its `watch_command`, when files in its `watch` setting change.

use std::path::Path;
use std::thread;

use crate::event::Level;
use crate::serve::machine::MachineEvent as Happening;
use crate::serve::probe::CancellableWait;
use crate::serve::supervisor::faults;
use crate::serve::supervisor::file_watcher::FileWatcher;
use crate::serve::supervisor::service_command;
use crate::serve::supervisor::{StartReport, Supervisor, SupervisorMessage};

/// The stack of a thread that waits.
const SMALL_STACK: usize = 256 * 1024;

impl Supervisor {
    /// Starts watching the files of a service, on a thread of its own.
    pub fn watch_files(&mut self, at: usize) {
        let service = self.slots[at].prepared.definition.service.as_ref();
        let Some(patterns) = service.map(|service| service.watching.watch.clone()).filter(|watch| !watch.is_empty())
        else {
            return;
        };
        if self.slots[at].tasks.watching.is_some() {
            return;
        }
        let work_dir = self.project.state_dir.parent().unwrap_or(&self.project.state_dir).to_path_buf();
        let (generation, sender) = (self.slots[at].run.generation, self.sender.clone());
        let begun = FileWatcher::of(&patterns, &work_dir).and_then(|mut changes| {
            let (cancel, canceller) = CancellableWait::new().map_err(|error| error.to_string())?;
            let failure = move |text| {
                let report = StartReport::Trouble(format!("its files are not watched any more: {text}"));
                SupervisorMessage::Of { service: at, generation, report }
            };
            let watch = move || {
                while let Some(path) = changes.wait(&cancel) {
                    if sender.send(SupervisorMessage::FileChanged(at, path)).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name("files".to_owned()).stack_size(SMALL_STACK);
            faults::spawn(thread, &self.sender, failure, watch).map_err(|error| error.to_string())?;
            Ok(canceller)
        });
        match begun {
            Ok(canceller) => self.slots[at].tasks.watching = Some(canceller),
            Err(text) => {
                let name = self.slots[at].prepared.name();
                self.reporter.warning(name, format!("its files cannot be watched: {text}"));
            }
        }
    }

    pub(super) fn file_changed(&mut self, at: usize, path: &Path) {
        let slot = &mut self.slots[at];
        // A message from before the watch was ended.
        if slot.tasks.watching.is_none() {
            return;
        }
        let name = slot.prepared.name().to_owned();
        let shown = path.strip_prefix(&slot.prepared.definition.current_dir).unwrap_or(path).display();
        let with_command =
            slot.prepared.definition.service.as_ref().is_some_and(|one| one.watching.watch_command.is_some());
        let verb = if with_command { "watch_command" } else { "restarting" };
        self.reporter.message(&name, Level::Info, format!("{verb}: {shown} has changed"));
        if with_command {
            self.rebuild(at);
        } else {
            self.step(Happening::Restart(vec![at]));
        }
    }

    fn rebuild(&mut self, at: usize) {
        if let Some(again) = &mut self.slots[at].tasks.rebuilding {
            *again = true;
            return;
        }
        self.slots[at].tasks.rebuilding = Some(false);
        if let Err(text) = service_command::rebuild(self, at) {
            self.rebuilt(at, Err(text));
        }
    }

    pub(super) fn rebuilt(&mut self, at: usize, result: Result<(), String>) {
        if let Err(text) = result {
            self.reporter.warning(self.slots[at].prepared.name(), text);
        }
        if self.slots[at].tasks.rebuilding.take() == Some(true) && self.slots[at].tasks.watching.is_some() {
            self.rebuild(at);
        }
    }
}
