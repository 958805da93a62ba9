//! A link to the server on which everything takes its time: what is sent arrives so much later.
//! What a program takes over it, divided by the time there and back, is its round trips.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// One way.
const DELAY: Duration = Duration::from_millis(20);

/// There and back.
pub(crate) const ROUND_TRIP: Duration = DELAY.saturating_mul(2);

/// Listens until the program ends, and passes every connection on to `server`. Returns the port.
pub(crate) fn to(server: u16) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A server that is not there: the connection ends.
            let _refused = connect(client, server);
        }
    });
    Ok(port)
}

fn connect(client: TcpStream, server: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    pass(client.try_clone()?, server.try_clone()?);
    pass(server, client);
    Ok(())
}

/// Passes on what one side sends, each piece [`DELAY`] after it came.
fn pass(mut from: TcpStream, to: TcpStream) {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + DELAY, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || deliver(&receiver, to));
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    let _ended_already = to.shutdown(Shutdown::Write);
}
