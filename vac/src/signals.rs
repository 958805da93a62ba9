//! How vac and unvac end when they are told to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// The first signal sets these flags, which are heeded where the work can end; the second ends the
/// program, whatever it waits for.
///
/// # Errors
/// If the system refuses it.
pub fn heed(flags: &[Arc<AtomicBool>]) -> io::Result<()> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        for flag in flags.iter().chain([&again]) {
            register(signal, Arc::clone(flag))?;
        }
    }
    Ok(())
}
