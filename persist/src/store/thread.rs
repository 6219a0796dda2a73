//! The background thread: it only drives the persister.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::persister::{Persister, Turn};
use crate::error::DurabilityError;

/// Starts the thread; it ends when the store is closed.
pub(crate) fn start(persister: Persister) -> io::Result<JoinHandle<Result<(), DurabilityError>>> {
    Builder::new().name("stillpoint-persist".to_owned()).spawn(move || run(persister))
}

fn run(mut persister: Persister) -> Result<(), DurabilityError> {
    loop {
        let closing = persister.shared.status().closing;
        if let Some(tail_bytes_kept) = closing {
            return guarded(&mut persister, |persister| persister.finish(tail_bytes_kept)).and_then(|result| result);
        }
        let turn = guarded(&mut persister, |persister| persister.turn(Instant::now()));
        if !matches!(turn, Ok(Turn::Worked)) {
            let rest = persister.rest(Instant::now());
            persister.shared.wait_for_work(rest);
        }
    }
}

/// Runs a piece of work; a panic in a type's own code ends the log, and nothing else.
fn guarded<R>(persister: &mut Persister, work: impl FnOnce(&mut Persister) -> R) -> Result<R, DurabilityError> {
    catch_unwind(AssertUnwindSafe(|| work(persister))).map_err(|panic| {
        let message = message_of(&*panic);
        persister.give_up(&message);
        DurabilityError::Panicked { message: message.into() }
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
